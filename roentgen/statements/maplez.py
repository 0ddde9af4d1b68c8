"""MAPLEZ's table of annotations: four rows a report, one cell for each of 13 labels.

The form of MAPLEZ (Lanfredi et al., Medical Image Analysis 2025; rsummers11/CADLab): the rows are
labels (1 present, -1 uncertain, 0 absent, -3 stable, -2 not mentioned), probability (percent; 101:
only called stable), location (phrases with ";" between, -1 none) and severity (1 mild, 2 moderate,
3 severe, -1 none). Its column of report texts is neither written nor read.
"""

import csv
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from roentgen.csv_table import CsvTable
from roentgen.errors import InputError, require
from roentgen.record.finding import SEVERITIES, FindingName
from roentgen.record.statement import STATEMENT_STATES, Extent, Statement, StatementState
from roentgen.statements.hierarchy import labels_of, node_of_label
from roentgen.statements.location_phrases import read_phrases, write_phrases

AnnotationType = Literal["labels", "probability", "location", "severity"]
ANNOTATION_TYPES: tuple[AnnotationType, ...] = get_args(AnnotationType)
# The columns in their order, with our names.
COLUMNS: dict[str, FindingName] = {
    "enlarged cardiomediastinum": "Enlarged Cardiomediastinum",
    "cardiomegaly": "Cardiomegaly",
    "atelectasis": "Atelectasis",
    "consolidation": "Consolidation",
    "lung edema": "Edema",
    "fracture": "Fracture",
    "lung lesion": "Lung Lesion",
    "pleural effusion": "Pleural Effusion",
    "pneumonia": "Pneumonia",
    "pneumothorax": "Pneumothorax",
    "support device": "Support Devices",
    "lung opacity": "Lung Opacity",
    "pleural other": "Pleural Other",
}
_KEYS = ("subjectid_studyid", "type_annotation")
_LABELS: dict[StatementState, int] = {"present": 1, "uncertain": -1, "absent": 0, "stable": -3}
NOT_MENTIONED = -2
_NONE = -1  # no location, no severity
_ONLY_STABLE = 101
_PERCENTS: dict[StatementState, int] = {
    **{"present": 100, "uncertain": 50, "absent": 0, "stable": _ONLY_STABLE},
}
# The numbers of a cell, with their words in errors.
_ALLOWED: dict[str, tuple[Container[float], str]] = {
    "labels": ((-3, -2, -1, 0, 1), "-3, -2, -1, 0, 1"),
    "probability": (range(102), "0 to 101, whole"),
    "severity": ((-1, 1, 2, 3), "-1, 1, 2, 3"),
}
# Labels whose largest value counts for another label too, and the order of values.
_PARTS: dict[FindingName, tuple[FindingName, ...]] = {
    "Consolidation": ("Pneumonia",),
    "Lung Opacity": ("Atelectasis", "Consolidation", "Edema", "Lung Lesion", "Pneumonia"),
}
_RANKS = {1: 5, -1: 4, 0: 3, -3: 2, NOT_MENTIONED: 1}
_RANK_OF_ABSENT_PART = 0  # the absence of a part does not deny the whole


@dataclass(frozen=True, slots=True)
class Annotation:
    """What MAPLEZ's four rows give for one label, in the table's numbers."""

    label: int = NOT_MENTIONED
    percent: int = 0
    locations: tuple[str, ...] = ()
    severity: int = _NONE


@dataclass(frozen=True, slots=True)
class AnnotatedReport:
    """The statements of a report of a table, and the location phrases that name no side or place.

    `id` is subject and study as the table has them: "10000032_50414267".
    """

    id: str
    statements: tuple[Statement, ...]
    unread: tuple[str, ...] = ()


def annotations_of(statements: Iterable[Statement]) -> dict[FindingName, Annotation]:
    """The annotations of a report's statements, each label by itself, in the table's order.

    The state that decides is the first of present, uncertain, absent and stable. Without a
    probability present is 100, uncertain 50, absent 0; what is not mentioned is 0. Of several
    probabilities and severities the largest counts. Raises InputError for an unknown finding.
    """
    by_name: dict[FindingName, list[Statement]] = {name: [] for name in COLUMNS.values()}
    for statement in statements:
        for name in labels_of(statement.finding):
            by_name[name].append(statement)
    return {name: _annotation(own) for name, own in by_name.items()}


def aggregate(annotations: Mapping[FindingName, Annotation]) -> dict[FindingName, Annotation]:
    """MAPLEZ's aggregation of consolidation (with pneumonia) and lung opacity (with five others).

    Labels by the order 1, -1, 0 of the label itself, -3, -2, 0 of a part; probabilities by the
    largest, 101 counted as 51; severities by the largest; locations united in order. Aggregating
    twice is aggregating once.
    """
    result = dict(annotations)
    for name, parts in _PARTS.items():
        own, others = annotations[name], [annotations[part] for part in parts]
        every = (own, *others)
        ranked = [(_RANK_OF_ABSENT_PART if a.label == 0 else _RANKS[a.label], a) for a in others]
        result[name] = Annotation(
            label=max([(_RANKS[own.label], own), *ranked], key=lambda pair: pair[0])[1].label,
            percent=max((a.percent for a in every), key=_certainty),
            locations=tuple(dict.fromkeys(phrase for a in every for phrase in a.locations)),
            severity=max(a.severity for a in every),
        )
    return result


def write_maplez(file: Any, reports: Iterable[tuple[str, Iterable[Statement]]]) -> int:
    """Write the table of reports, (id, statements) each, aggregated; returns the number of reports.

    `file` is a text file that is opened with newline="". Raises InputError for an id twice.
    """
    table = CsvTable(file, (*_KEYS, *COLUMNS))
    written: set[str] = set()
    for report_id, statements in reports:
        require(report_id not in written, f"report {report_id!r} is given twice")
        written.add(report_id)
        cells = aggregate(annotations_of(statements)).values()
        table.add(report_id, "labels", *(a.label for a in cells))
        table.add(report_id, "probability", *(a.percent for a in cells))
        table.add(report_id, "location", *(";".join(a.locations) or _NONE for a in cells))
        table.add(report_id, "severity", *(a.severity for a in cells))
    return len(written)


def read_maplez(path: Path) -> Iterator[AnnotatedReport]:
    """The reports of a table, each when its four rows are read; they need not follow one another.

    The statements name the file as their source. Locations and severities are of findings that are
    present or uncertain; a severity is of every side that is named. Raises InputError with file,
    row, column and value for a cell that the form does not have, and for a report without its four
    rows.
    """
    pending: dict[str, dict[str, dict[FindingName, Any]]] = {}
    complete: set[str] = set()
    for number, cells in _rows(path):
        report_id, kind = cells["subjectid_studyid"], cells["type_annotation"]
        where = f"{path}, row {number}"
        if kind not in ANNOTATION_TYPES:
            raise _malformed(where, "type_annotation", kind, ", ".join(ANNOTATION_TYPES))
        rows = pending.setdefault(report_id, {})
        if report_id in complete or kind in rows:
            raise InputError(f"{where}: report {report_id!r} has a second row {kind!r}")
        rows[kind] = {
            name: _value(kind, cells[column], where, column) for column, name in COLUMNS.items()
        }
        if len(rows) == len(ANNOTATION_TYPES):
            complete.add(report_id)
            yield _annotated_report(report_id, pending.pop(report_id), path.name)
    for report_id, rows in pending.items():
        missing = next(kind for kind in ANNOTATION_TYPES if kind not in rows)
        raise InputError(f"{path}: report {report_id!r} has no row {missing!r}")


def _annotation(statements: Sequence[Statement]) -> Annotation:
    state = min((s.state for s in statements), key=STATEMENT_STATES.index, default=None)
    if state is None:
        return Annotation()
    deciding = [statement for statement in statements if statement.state == state]
    percents = [round(100 * s.probability) for s in deciding if s.probability is not None]
    located = [e for s in deciding for e in s.extents] if state in ("present", "uncertain") else []
    severities = [SEVERITIES.index(extent.severity) + 1 for extent in located if extent.severity]
    return Annotation(
        label=_LABELS[state],
        percent=max(percents, default=_PERCENTS[state]),
        locations=write_phrases(located),
        severity=max(severities, default=_NONE),
    )


def _certainty(percent: int) -> int:
    return 51 if percent == _ONLY_STABLE else percent


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, cells) of each row. Raises InputError for a table that is absent or damaged."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, strict=True)
            header = next(lines, [])
            for column in (*_KEYS, *COLUMNS):
                require(column in header, f"{path} has no column {column!r}")
            for row in filter(None, lines):
                if len(row) != len(header):
                    raise InputError(
                        f"{path}, row {lines.line_num}: {len(row)} cells, but {len(header)} columns"
                    )
                yield lines.line_num, dict(zip(header, row, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"table {path} cannot be read: {error}") from None


def _value(kind: str, cell: str, where: str, column: str) -> Any:
    """A cell as a number, or a location as its phrases."""
    if kind == "location":
        if not cell.strip():
            raise _malformed(where, column, cell, "phrases, or -1 for none")
        phrases = [] if cell == str(_NONE) else [phrase.strip() for phrase in cell.split(";")]
        return tuple(dict.fromkeys(phrase for phrase in phrases if phrase))
    allowed, words = _ALLOWED[kind]
    try:
        number = float(cell)
    except ValueError:
        raise _malformed(where, column, cell, words) from None
    if number not in allowed:
        raise _malformed(where, column, cell, words)
    return int(number)


def _malformed(where: str, column: str, cell: str, allowed: str) -> InputError:
    return InputError(f"{where}, column {column!r}: {cell!r} is not one of {allowed}")


def _annotated_report(
    report_id: str, rows: Mapping[str, Mapping[FindingName, Any]], source: str
) -> AnnotatedReport:
    states = {label: state for state, label in _LABELS.items()}
    statements = []
    unread: list[str] = []
    for name in COLUMNS.values():
        label, percent = rows["labels"][name], rows["probability"][name]
        extents: tuple[Extent, ...] = (Extent(),)
        if label == NOT_MENTIONED:
            continue
        if states[label] in ("present", "uncertain"):
            severity = rows["severity"][name]
            named, without = read_phrases(rows["location"][name])
            unread += without
            grade = SEVERITIES[severity - 1] if severity != _NONE else None
            extents = tuple(replace(extent, severity=grade) for extent in named)
        statements.append(
            Statement(
                finding=node_of_label(name).name,
                state=states[label],
                probability=None if percent == _ONLY_STABLE else percent / 100,
                extents=extents,
                source=source,
            )
        )
    return AnnotatedReport(report_id, tuple(statements), tuple(dict.fromkeys(unread)))
