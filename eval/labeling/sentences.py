"""Sentences with what must be read from them.

Columns of a file: sentence, finding, state and, if known, side, severity, place and kind; or
sentence, want and kind, where `want` is "Pleural Effusion present left small". Other columns are
not read. In a cell, "a|b" allows either, "any", "~" or a blank ("nan" too) is not compared, and
"none" is no side, severity or place. States are present, uncertain, absent and "not mentioned" or
"-"; several places of one finding are separated by ";".

Several rows of a sentence and finding are its sides, each with its severity and places. A sentence
names all of its findings except No Finding: any other is an error. Of one with a blank finding
nothing may be read, not even No Finding. Where `want` is given, others are not compared.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from eval.labeling.cases import Half, in_half
from eval.labeling.columns import check_names, check_place
from eval.labeling.reading import NOT_MENTIONED, SIDES, Reading, location_words, side_in_words
from eval.labeling.tallies import Tallies
from roentgen.corpora.scanning.rows import column_names, read_rows
from roentgen.corpora.scanning.value_mapping import is_blank
from roentgen.errors import InputError
from roentgen.record.finding import FINDING_NAMES, SEVERITIES, STATES, FindingName

Detail = Literal["side", "severity", "place"]
_DETAILS: tuple[Detail, ...] = ("side", "severity", "place")
_NONE = "none"
_NOT_COMPARED = ("", "nan", "~", "any")
_ALLOWED: dict[str, Sequence[str]] = {
    "state": (*STATES, NOT_MENTIONED),
    "side": ("left", "right", "bilateral", _NONE),
    "severity": (*SEVERITIES, _NONE),
}
Alternatives = tuple[str, ...]  # none: not compared


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What a row allows for a finding."""

    finding: FindingName
    state: Alternatives
    side: Alternatives = ()
    severity: Alternatives = ()
    place: Alternatives = ()


@dataclass(frozen=True, kw_only=True)
class SentenceCase:
    """A sentence, what must be read from it, and whether it may have other findings."""

    kind: str
    text: str
    expected: tuple[Expected, ...]
    others: bool


def read_sentences(path: Path, half: Half | None) -> list[SentenceCase]:
    """The sentences of a file, in its order. Raises InputError naming the row of a bad cell."""
    header = column_names(path)
    check_names(path, header, ("sentence", "want", "finding", "state", "kind", *_DETAILS))
    by_want = "want" in header
    columns = ["sentence", *(("want",) if by_want else ("finding", "state"))]
    columns += [name for name in ("kind", *_DETAILS) if name in header]
    rows: dict[tuple[str, str], list[Expected]] = defaultdict(list)
    for number, row in enumerate(read_rows(path, columns), start=1):
        where = f"{path}, row {number}"
        if row is None:
            raise InputError(f"{where} has not as many cells as the header")
        if is_blank(row["sentence"]):
            raise InputError(f"{where}: the sentence is blank: write it, or remove the row")
        own = rows[row.get("kind", ""), row["sentence"]]
        cells = _cells_of_want(row["want"], where) if by_want else row
        if not is_blank(cells["finding"]):
            own.append(_expected(cells, where))
    wanted = in_half(half)
    return [
        SentenceCase(kind=kind, text=text, expected=tuple(own), others=by_want)
        for (kind, text), own in rows.items()
        if wanted(text)
    ]


def _cells_of_want(want: str, where: str) -> dict[str, str]:
    name = max((name for name in FINDING_NAMES if want.startswith(name)), key=len, default="")
    values = want.removeprefix(name).split()
    if not name or not 1 <= len(values) <= 3:
        raise InputError(
            f"{where}: want is {want!r}: it must be a finding, its state and, if known, side and "
            "severity"
        )
    return {"finding": name, **dict(zip(("state", "side", "severity"), values, strict=False))}


def _expected(cells: Mapping[str, str], where: str) -> Expected:
    name = next((name for name in FINDING_NAMES if name == cells["finding"]), None)
    if name is None:
        raise InputError(
            f"{where}: unknown finding {cells['finding']!r}; choose one of: "
            f"{', '.join(FINDING_NAMES)}"
        )
    allowed: dict[str, Alternatives] = {}
    for column in ("state", *_DETAILS):
        cell = cells.get(column, "")
        values = () if cell in _NOT_COMPARED else tuple(part.strip() for part in cell.split("|"))
        if column == "state":
            values = tuple(NOT_MENTIONED if value == "-" else value for value in values)
        known = _ALLOWED.get(column, values)
        for value in values:
            if value not in known:
                raise InputError(
                    f"{where}: {column} is {value!r}: it must be one of "
                    f"{', '.join(known)}, any or ~"
                )
            if column == "place" and value != _NONE:
                for place in value.split(";"):
                    check_place(place.strip(), where)
        allowed[column] = values
    return Expected(finding=name, **allowed)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One aspect of a finding: what a sentence allows and what was read."""

    finding: FindingName
    aspect: str
    allowed: Alternatives
    read: str

    @property
    def right(self) -> bool:
        """Whether it is one of those that are allowed."""
        return self.read in self.allowed

    @property
    def error(self) -> str:
        """The difference in words."""
        return f"{'|'.join(self.allowed)} is read as {self.read}"


def compare_sentence(case: SentenceCase, read: Reading) -> Iterator[Comparison]:
    """Every aspect that is compared; those of extent only where the finding is read."""
    by_finding: dict[FindingName, list[Expected]] = defaultdict(list)
    for row in case.expected:
        by_finding[row.finding].append(row)
    for name, rows in by_finding.items():
        states = {value for row in rows for value in row.state}
        if states:
            state = read.states.get(name, NOT_MENTIONED)
            yield Comparison(finding=name, aspect="state", allowed=_sorted(states), read=state)
        if name in read.positive():
            yield from _compare_extents(name, rows, read)
    if not case.others:
        for name, found in read.states.items():
            if name not in by_finding and (name != "No Finding" or not case.expected):
                yield Comparison(
                    finding=name, aspect="other finding", allowed=(NOT_MENTIONED,), read=found
                )


def _compare_extents(
    name: FindingName, rows: Sequence[Expected], read: Reading
) -> Iterator[Comparison]:
    several = len(rows) > 1
    sides = tuple(dict.fromkeys(side for row in rows for side in row.side))
    if several and set(sides) == SIDES:
        sides = ("bilateral",)
    side = side_in_words(read.locations(name))
    if sides:
        yield Comparison(finding=name, aspect="side", allowed=sides, read=side)
    for row in rows:
        own = next((side for side in row.side if several and side in SIDES), None)
        if row.severity:
            severity = read.severity(name, own) or _NONE
            yield Comparison(finding=name, aspect="severity", allowed=row.severity, read=severity)
        if row.place:
            allowed = tuple(_places(location_words(place)) for place in row.place)
            found = _places(read.locations(name, own))
            yield Comparison(finding=name, aspect="place", allowed=allowed, read=found)


def _places(locations: AbstractSet[str]) -> str:
    return " ".join(sorted(locations - SIDES)) or _NONE


def _sorted(states: AbstractSet[str]) -> Alternatives:
    return tuple(state for state in _ALLOWED["state"] if state in states)


def score_sentences(
    cases: Sequence[SentenceCase], readings: Sequence[Reading], tallies: Tallies
) -> dict[str, Any]:
    """Shares of sentences that are right in all, of each kind, and of each aspect by finding.

    "failing" has the other sentences with their errors.
    """
    failing: list[dict[str, Any]] = []
    for i, (case, read) in enumerate(zip(cases, readings, strict=True)):
        errors = []
        for item in compare_sentence(case, read):
            if item.aspect != "other finding":
                tallies.check(item.aspect, item.finding, i, item.right)
            if not item.right:
                tallies.errors[item.aspect][item.finding, item.error] += 1
                errors.append(f"{item.finding}, {item.aspect}: {item.error}")
        tallies.check("sentence", case.kind, i, not errors)
        if errors:
            failing.append({"kind": case.kind, "sentence": case.text, "errors": errors})
    kinds = list(dict.fromkeys(case.kind for case in cases))
    measured = {row.finding for case in cases for row in case.expected}
    names = [name for name in FINDING_NAMES if name in measured]
    return {
        "n": len(cases),
        "sentence": tallies.shares("sentence", kinds),
        **{aspect: tallies.shares(aspect, names) for aspect in ("state", *_DETAILS)},
        "failing": failing,
    }
