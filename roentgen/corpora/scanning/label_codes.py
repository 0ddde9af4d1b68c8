"""Label codes: the 14 CheXpert label columns as a short text, so that a corpus fits in memory."""

from collections.abc import Mapping
from functools import lru_cache

from roentgen.corpora.scanning.value_mapping import finding_of_value
from roentgen.errors import InputError
from roentgen.record.findings import FINDING_NAMES, Finding, FindingName, State

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


def decode_labels(code: str) -> tuple[Finding, ...]:
    """The findings of a text of `encode_labels`."""
    found = []
    for name, mark in zip(FINDING_NAMES, code, strict=True):
        state = _STATES[mark]
        if state is not None:
            found.append(Finding(name=name, state=state))
    return tuple(found)
