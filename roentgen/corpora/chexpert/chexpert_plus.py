"""The table of CheXpert Plus (Chambon et al., 2024): the images of CheXpert with their reports."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from roentgen.corpora.scanning.row_index import read_places, read_row_at
from roentgen.errors import InputError
from roentgen.record.radiograph import Report

_BLANKS = ("", "nan", "none")


@dataclass(frozen=True, kw_only=True)
class PlusColumns:
    """The columns of df_chexpert_plus_240401.csv; null for an absent one."""

    path: str = "path_to_image"
    """The image, as train/patient00001/study1/view1_frontal.jpg."""
    frontal_lateral: str = "frontal_lateral"
    """Frontal or Lateral."""
    ap_pa: str = "ap_pa"
    """AP or PA of a frontal image."""
    findings: str | None = "section_findings"
    """Section of the report."""
    impression: str | None = "section_impression"
    """Section of the report."""
    indication: str | None = "section_clinical_history"
    """Section of the report."""
    comparison: str | None = "section_comparison"
    """Section of the report."""
    age: str | None = "age"
    """Age in years."""
    sex: str | None = "sex"
    """Sex."""
    race: str | None = "race"
    """Race."""


class PlusRow(NamedTuple):
    """A row without its report."""

    path: str
    view: str  # the word: Lateral, AP, PA or blank
    age: str
    sex: str
    race: str
    has_report: bool


def read_plus(table: Path, columns: PlusColumns) -> Iterator[tuple[int, PlusRow | None]]:
    """(place, row) of each image; None for a row with too few or many fields."""
    names = [name for name in vars(columns).values() if name is not None]
    advice = "name it in chexpert.plus_columns, or set that to null"
    for place, row in read_places(table, names, advice):
        if row is None:
            yield place, None
            continue
        lateral = row[columns.frontal_lateral].strip() == "Lateral"
        sections = (columns.findings, columns.impression)
        yield (
            place,
            PlusRow(
                path=row[columns.path],
                view="Lateral" if lateral else _text(row[columns.ap_pa]),
                age=row[columns.age] if columns.age else "",
                sex=row[columns.sex] if columns.sex else "",
                race=_text(row[columns.race]) if columns.race else "",
                has_report=any(name is not None and _text(row[name]) for name in sections),
            ),
        )


def plus_report(table: Path, place: int, columns: PlusColumns) -> Report:
    """The report of the row at a place."""
    row = read_row_at(table, place)

    def section(name: str | None) -> str | None:
        return (_text(row[name]) or None) if name else None

    try:
        return Report(
            findings=section(columns.findings),
            impression=section(columns.impression),
            indication=section(columns.indication),
            comparison=section(columns.comparison),
        )
    except KeyError:
        raise InputError(f"table {table} has changed since it was scanned") from None


def _text(cell: str) -> str:
    """A cell without its margins; "" for a word that means blank."""
    text = cell.strip()
    return "" if text.lower() in _BLANKS else text
