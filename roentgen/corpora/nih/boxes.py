"""Boxes of NIH ChestX-ray14, drawn by a radiologist on images of 1024x1024."""

import csv
import math
from pathlib import Path

from roentgen.corpora.scanning.scan import Scan
from roentgen.errors import InputError
from roentgen.imaging.boxes import SourceBox

DRAWN_ON = 1024  # pixels a side
_HEADER = ["Image Index", "Finding Label", "Bbox [x"]
STRUCTURES = {
    "Atelectasis": "atelectasis",
    "Cardiomegaly": "cardiomegaly",
    "Effusion": "pleural effusion",
    "Infiltrate": "infiltration",
    "Mass": "mass",
    "Nodule": "nodule",
    "Pneumonia": "pneumonia",
    "Pneumothorax": "pneumothorax",
}


def read_boxes(table: Path, scan: Scan) -> dict[str, list[SourceBox]]:
    """The boxes of each image; a row that is no box is excluded.

    The header "Bbox [x,y,w,h]" is four columns, and has three more that no row needs to have.
    """
    boxes: dict[str, list[SourceBox]] = {}
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file, strict=True)
            header = next(rows, [])
            if header[:3] != _HEADER:
                expected = ",".join(_HEADER)
                raise InputError(f"{table} begins with {','.join(header)[:60]!r}, not {expected!r}")
            for number, row in enumerate(rows, start=1):
                if not row:
                    continue
                with scan.excluding(f"{table.name} row {number}"):
                    boxes.setdefault(row[0], []).append(_box(row))
    except FileNotFoundError:
        raise InputError(f"no such table: {table}; set nih.boxes to null to do without") from None
    except (OSError, csv.Error) as error:
        raise InputError(f"table {table} cannot be read: {error}") from None
    except UnicodeDecodeError:
        raise InputError(f"table {table} is not text in UTF-8") from None
    return boxes


def _box(row: list[str]) -> SourceBox:
    if len(row) < 6 or row[1] not in STRUCTURES:
        raise InputError(f"no box of a known finding: {','.join(row[1:6])!r}")
    try:
        left, top, width, height = map(float, row[2:6])
    except ValueError:
        raise InputError(f"a box is not four numbers: {','.join(row[2:6])!r}") from None
    if not all(map(math.isfinite, (left, top, width, height))) or width <= 0 or height <= 0:
        raise InputError(f"a box has no area: {','.join(row[2:6])!r}")
    return SourceBox(STRUCTURES[row[1]], left, top, left + width, top + height)
