"""Exports of annotations: MAPLEZ's table, and CheXpert's 14 labels."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from roentgen.annotate.config import Export
from roentgen.csv_table import CsvTable
from roentgen.dataset.annotations import AnnotationSet
from roentgen.record.finding import FindingName
from roentgen.statements.labels import chexpert_row
from roentgen.statements.maplez import write_maplez

CHEXPERT_ORDER: tuple[FindingName, ...] = (  # of CheXpert's own tables
    *("No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion"),
    *("Edema", "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion"),
    *("Pleural Other", "Fracture", "Support Devices"),
)


def write_exports(annotations: AnnotationSet, exports: Sequence[Export]) -> list[Path]:
    """Write the tables into the folder; returns their paths."""
    writers: dict[Export, Callable[[AnnotationSet, Any], object]] = {
        "maplez_csv": _write_maplez,
        "chexpert_csv": _write_chexpert,
    }
    paths = []
    for export in exports:
        path = annotations.folder / export.replace("_csv", ".csv")
        with path.open("w", newline="", encoding="utf-8") as file:
            writers[export](annotations, file)
        paths.append(path)
    return paths


def _write_maplez(annotations: AnnotationSet, file: Any) -> None:
    write_maplez(file, ((row.id, row.reading.statements) for row in annotations))


def _write_chexpert(annotations: AnnotationSet, file: Any) -> None:
    """1 present, 0 absent, -1 uncertain, blank: not mentioned, or not known."""
    table = CsvTable(file, ("id", *CHEXPERT_ORDER))
    for row in annotations:
        values = chexpert_row(row.reading.statements)
        if row.reading.no_finding:
            values["No Finding"] = 1
        table.add(row.id, *(values[name] for name in CHEXPERT_ORDER))
