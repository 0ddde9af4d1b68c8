"""Table cells as values of a radiograph; an unknown word raises InputError, which names it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import cast, get_args

from roentgen.corpora.reader import Unmapped
from roentgen.errors import InputError
from roentgen.record.finding import FINDING_NAMES, Finding, FindingName, State
from roentgen.record.radiograph import Report, Sex, Split, View, parse_view

EXCLUDED_BY_NAME = "excluded by name"
NO_MEANING = "no meaning is given"
MAX_AGE = 120  # years; more is a typing error or a code for "unknown"

_BLANKS = ("", "nan", "none", "null", "n/a", "unknown")
_PER_YEAR = {"Y": 1.0, "M": 12.0, "W": 365.25 / 7, "D": 365.25}


@dataclass(frozen=True)
class Meanings:
    """Meanings of the words in a column of findings."""

    meanings: Mapping[str, Finding | None]
    separator: str

    def _words(self, cell: str) -> Iterator[str]:
        for word in cell.split(self.separator):
            if word.strip():
                yield word.strip()

    def unmapped(self, cell: str) -> Iterator[Unmapped]:
        """Each word that becomes no finding."""
        for word in self._words(cell):
            if self.meanings.get(word) is None:
                yield unmapped_finding(word, self.meanings)

    def findings(self, cell: str) -> list[Finding]:
        """The findings in a cell, without repeats.

        Raises InputError for "No Finding" beside another finding than support devices.
        """
        found = [self.meanings.get(word) for word in self._words(cell)]
        findings = list(dict.fromkeys(finding for finding in found if finding is not None))
        present = {f.name for f in findings if f.state == "present"} - {"Support Devices"}
        if "No Finding" in present and len(present) > 1:
            other = min(present - {"No Finding"})
            raise InputError(f"No Finding is present beside {other}")
        return findings


def unmapped_finding(word: str, meanings: Mapping[str, object]) -> Unmapped:
    """A word that becomes no finding: excluded by name, or unknown."""
    return Unmapped("finding", word, EXCLUDED_BY_NAME if word in meanings else NO_MEANING)


def finding_of_value(column: str, name: FindingName, cell: str) -> Finding | None:
    """1, 0, -1 or blank as a finding that is present, absent, uncertain or None."""
    if is_blank(cell):
        return None
    states: dict[float, State] = {1.0: "present", 0.0: "absent", -1.0: "uncertain"}
    try:
        return Finding(name=name, state=states[float(cell)])
    except (ValueError, KeyError):
        raise InputError(f"{column} is {cell!r}: expected 1, 0, -1 or blank") from None


def view_of_cell(cell: str, views: Mapping[str, View | None]) -> View | None:
    """The view that a cell names, None for a blank one."""
    if cell in views:
        return views[cell]
    return None if is_blank(cell) else parse_view(cell)


def report_of_columns(row: Mapping[str, str], columns: Mapping[str, str | None]) -> Report:
    """The report whose sections have these columns; None: without the section.

    A cell that means blank ("nan", "None") is blank.
    """
    given = {name: columns[name] for name in ("findings", "impression", "indication", "comparison")}
    sections = {name: row[column].strip() for name, column in given.items() if column}
    return Report(**{name: text for name, text in sections.items() if not is_blank(text)})


def is_blank(cell: str) -> bool:
    """Whether a cell means that there is no value: "", "nan", "None", "n/a"."""
    return cell.strip().lower() in _BLANKS


def parse_split(cell: str, words: Mapping[str, Split]) -> Split:
    """The split that a cell names."""
    split = words.get(cell, cell)
    if split not in get_args(Split):
        raise InputError(f"unknown split {cell!r}: map it in split.words")
    return cast(Split, split)


def parse_age(cell: str) -> float | None:
    """Years from "63", "63.0" or DICOM's "063Y"; None for a blank."""
    if is_blank(cell):
        return None
    try:
        age = float(cell.strip().upper().removesuffix("Y"))
    except ValueError:
        raise InputError(f"age {cell!r} is not a number of years") from None
    if not 0 <= age <= MAX_AGE:
        raise InputError(f"age {cell!r} is not between 0 and {MAX_AGE} years")
    return age


def years_of_age_string(text: str) -> float | None:
    """Years from DICOM's "043Y", "010M", "005D", or a bare "43"; None for an impossible age."""
    unit = text[-1:] if text[-1:] in _PER_YEAR else "Y"
    number = text.removesuffix(unit)
    if not (number.isascii() and number.isdigit() and len(number) <= 4):
        return None
    age = round(int(number) / _PER_YEAR[unit], 2)
    return age if age <= MAX_AGE else None


def years_between(birth_year: int, date: str) -> float | None:
    """Age in years at a date YYYYMMDD; None for an impossible age or a text that is no date."""
    if not date[:4].isdigit():
        return None
    age = int(date[:4]) - birth_year
    return float(age) if 0 <= age <= MAX_AGE else None


def parse_sex(cell: str) -> Sex | None:
    """F or M from a letter or word; None for a blank, unknown or other."""
    sexes: dict[str, Sex] = {"f": "F", "female": "F", "m": "M", "male": "M"}
    word = cell.strip().lower()
    if word in (*_BLANKS, "u", "o", "other"):
        return None
    if word not in sexes:
        raise InputError(f"unknown sex {cell!r}: expected F, M or blank")
    return sexes[word]


# By first word: "WHITE - RUSSIAN", "BLACK/CAPE VERDEAN", "Asian, non-Hispanic". Other words (SOUTH
# AMERICAN, PORTUGUESE, MULTIPLE RACE/ETHNICITY, OTHER) belong to no group by their name alone.
_RACES = {
    "white": "white",
    "black": "black or african american",
    "asian": "asian",
    "hispanic": "hispanic or latino",
    "american": "american indian or alaska native",
    "native": "native hawaiian or other pacific islander",
    "pacific": "native hawaiian or other pacific islander",
}


def prompt_race(text: str) -> str | None:
    """The race in the words of prompts; None for a word that names none."""
    return _RACES.get(re.split(r"[ /,-]", text.strip().lower(), maxsplit=1)[0])


# Label codes: the 14 label columns of CheXpert as a short text, so that a corpus fits in memory.
_MARKS: dict[State | None, str] = {"present": "+", "absent": "-", "uncertain": "?", None: "."}
_STATES = {mark: state for state, mark in _MARKS.items()}
_CELLS = {"": ".", "1.0": "+", "0.0": "-", "-1.0": "?", "1": "+", "0": "-", "-1": "?"}
NO_LABELS = "." * len(FINDING_NAMES)


def encode_labels(row: Mapping[str, str], columns: Mapping[FindingName, str]) -> str:
    """A row's labels, a mark for each finding in the order of FINDING_NAMES.

    `columns` names the column of each finding that the table has. Raises InputError for a cell
    that is not 1, 0, -1 or blank, and for "No Finding" beside another finding than support
    devices.
    """
    marks = []
    for name in FINDING_NAMES:
        column = columns.get(name)
        cell = row[column] if column is not None else ""
        mark = _CELLS.get(cell)
        if mark is None:
            assert column is not None
            finding = finding_of_value(column, name, cell)
            mark = _MARKS[finding.state if finding else None]
        marks.append(mark)
    code = "".join(marks)
    _check(code)
    return code


@lru_cache(maxsize=1 << 16)
def _check(code: str) -> None:
    present = {name for name, mark in zip(FINDING_NAMES, code, strict=True) if mark == "+"}
    others = sorted(present - {"No Finding", "Support Devices"})
    if "No Finding" in present and others:
        raise InputError(f"No Finding is present beside {others[0]}")


@lru_cache(maxsize=1 << 16)
def decode_labels(code: str) -> tuple[Finding, ...]:
    """The findings of a text of `encode_labels`; few differ, so items share them."""
    marked = ((name, _STATES[mark]) for name, mark in zip(FINDING_NAMES, code, strict=True))
    return tuple(Finding(name=name, state=state) for name, state in marked if state is not None)
