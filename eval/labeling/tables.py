"""A user's own table of reports as test cases.

Columns: id, text, patient if known, and those of the 14 findings that people read, named as the
findings are, with 1 (present), -1 (uncertain), 0 (absent) or a blank (not mentioned). A finding's
side, severity and place are in columns "Pleural Effusion side" (left, right or bilateral),
"Pleural Effusion severity" (small, moderate or large) and "Pleural Effusion place" (places such as
"lower lobe", separated by ";"); a blank says that none is given, and an aspect without a column is
not measured. "nan", "None" and the like are blanks.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from eval.labeling.cases import Aspect, Case, CaseSet, Half, in_half, report_of
from eval.labeling.columns import check_names, check_place
from eval.labeling.reading import Reading, extents_of
from roentgen.corpora.scanning.rows import column_names, read_rows
from roentgen.corpora.scanning.value_mapping import is_blank
from roentgen.errors import InputError
from roentgen.manifest import unstated_license
from roentgen.record.finding import FINDING_NAMES, SEVERITIES, SIDES, FindingName, State
from roentgen.record.statement import Extent

_T = TypeVar("_T", bound=str)
_DETAILS: tuple[Aspect, ...] = ("side", "severity", "place")
_STATES: dict[float, State] = {1: "present", 0: "absent", -1: "uncertain"}


def table_cases(path: Path, half: Half | None) -> CaseSet:
    """The rows of a table. Raises InputError naming the row of a bad cell."""
    header = column_names(path)
    names = [name for name in FINDING_NAMES if name in header]
    of_findings = {f"{name} {aspect}": name for name in FINDING_NAMES for aspect in _DETAILS}
    check_names(path, header, {"id", "text", "patient", *FINDING_NAMES, *of_findings})
    for column, name in of_findings.items():
        if column in header and name not in header:
            raise InputError(f"{path} has a column {column!r} and none of {name!r}: add it")
    if not names:
        raise InputError(f"{path} has no column of a finding, such as {FINDING_NAMES[0]!r}")
    details: dict[Aspect, list[FindingName]] = {
        aspect: [name for name in names if f"{name} {aspect}" in header] for aspect in _DETAILS
    }
    columns = ["id", "text", *names, *(["patient"] if "patient" in header else [])]
    columns += [f"{name} {aspect}" for aspect, own in details.items() for name in own]
    excluded: Counter[str] = Counter()
    cases: dict[str, Case] = {}
    wanted = in_half(half)
    for number, row in enumerate(read_rows(path, columns), start=1):
        where = f"{path}, row {number}"
        if row is None:
            raise InputError(f"{where} has not as many cells as the header")
        row = {column: "" if is_blank(cell) else cell for column, cell in row.items()}
        patient = row.get("patient") or row["id"]
        if not wanted(patient):
            continue
        if not row["text"]:
            excluded["no text"] += 1
            continue
        if not row["id"] or row["id"] in cases:
            raise InputError(f"{where}: id {row['id']!r} is blank or of an earlier row")
        cases[row["id"]] = Case(
            id=row["id"],
            patient=patient,
            report=report_of(row["text"]),
            gold=_read(row, names, where),
        )
    covered = [name for name in names if name != "No Finding"]
    return CaseSet(
        source=path.name,
        cases=list(cases.values()),
        known={"state": covered, **details},
        covered=covered,
        excluded=excluded,
        license=unstated_license(path.name),
    )


def _read(row: Mapping[str, str], names: Sequence[FindingName], where: str) -> Reading:
    states: dict[FindingName, State] = {}
    extents: dict[FindingName, tuple[Extent, ...]] = {}
    for name in names:
        state = _state(row[name], f"{where}: {name}")
        if state is None:
            continue
        states[name] = state
        if state != "absent":
            extents[name] = extents_of(
                _choice(row, f"{name} side", SIDES, where),
                _choice(row, f"{name} severity", SEVERITIES, where),
                _places(row.get(f"{name} place", ""), f"{where}: {name} place"),
            )
    return Reading(states=states, extents=extents)


def _places(cell: str, where: str) -> tuple[str, ...]:
    found = tuple(filter(None, (place.strip() for place in cell.split(";"))))
    for place in found:
        check_place(place, where)
    return found


def _state(cell: str, where: str) -> State | None:
    """The state of 1, 0 or -1, which may be written as 1.0; None of a blank."""
    if not cell:
        return None
    try:
        return _STATES[float(cell)]
    except (ValueError, KeyError):
        raise InputError(f"{where} is {cell!r}: it must be 1, 0, -1 or blank") from None


def _choice(row: Mapping[str, str], column: str, choices: Sequence[_T], where: str) -> _T | None:
    cell = row.get(column, "")
    if not cell:
        return None
    for choice in choices:
        if choice == cell:
            return choice
    raise InputError(
        f"{where}: {column} is {cell!r}: it must be blank or one of {', '.join(choices)}"
    )
