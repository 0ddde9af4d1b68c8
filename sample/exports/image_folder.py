"""Image folder writer, as Hugging Face's `imagefolder` reads it, with all fields of each image.

train/, validation/ and test/ each hold PNGs, masks/STRUCTURE/ and metadata.csv (or .parquet).
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from roentgen.record.radiograph import Radiograph
from sample.exports.config import FolderFormat
from sample.exports.export_source import ExportSource
from sample.exports.serialization import (
    FIELD_TYPES,
    FIELDS,
    as_png,
    file_stem,
    open_csv,
    radiograph_fields,
)

FOLDERS = {"train": "train", "validate": "validation", "test": "test"}  # as `datasets` names them
_INFERRED_FROM = 10_000  # rows of a CSV from which `datasets` infers column types
_CHUNK = 1000  # rows of a Parquet file written at once
_TYPES = {bool: pa.bool_(), float: pa.float64(), int: pa.int64()}


class _RowWriter(Protocol):
    def __call__(self, row: dict[str, Any], /) -> None: ...


def write(radiographs: ExportSource, folder: Path, settings: FolderFormat) -> list[str]:
    """Write the folder; returns the lines for its card."""
    use = _FieldUse(radiographs.records())
    masks = {name: f"{_plain(name)}_mask_file_name" for name in radiographs.structures}
    columns = ["file_name", *use.columns, *masks.values()]
    with ExitStack() as stack:
        tables: dict[str, _RowWriter] = {}
        for radiograph in radiographs:
            below = folder / FOLDERS[radiograph.split]
            if radiograph.split not in tables:
                below.mkdir()
                table = _open_metadata(below, columns, settings.metadata)
                tables[radiograph.split] = stack.enter_context(table)
            known = radiograph_fields(radiograph) | _write_files(radiograph, below, masks)
            tables[radiograph.split]({column: known.get(column) for column in columns})
    if settings.metadata == "csv":
        sparse = [masks[name] for name in masks if name not in radiographs.structures_everywhere]
        radiographs.notes += use.ambiguous(sparse)
    return [
        "`datasets.load_dataset('imagefolder', data_dir='this folder')` reads it: one row an "
        f"image, with its {len(use.columns)} known fields; masks are image columns.",
        "Findings are columns of 1 present, 0 absent, -1 uncertain, blank not mentioned; `findings`"
        " has them with sides and severities, as JSON.",
        "PNGs of synthetic images are marked in their text chunks, with prompt, seed and model; "
        "from_radiograph and from_patient, if any, name the radiograph whose prompt was used.",
    ]


def _write_files(radiograph: Radiograph, folder: Path, masks: dict[str, str]) -> dict[str, str]:
    """Write the image and its masks; returns the names of files by column."""
    name = f"{file_stem(radiograph.id)}.png"
    (folder / name).write_bytes(as_png(radiograph))
    names = {"file_name": name}
    for structure, mask in radiograph.masks.items():
        path = Path("masks", _plain(structure), name)
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(mask)
        names[masks[structure]] = path.as_posix()
    return names


def _plain(structure: str) -> str:
    return file_stem(structure.replace(" ", "_"))


class _FieldUse:
    """Which fields have a value in any radiograph, and which have types that a CSV hides."""

    def __init__(self, radiographs: Iterable[Radiograph]) -> None:
        self._rows: dict[str, int] = {}  # of each split
        self._first: dict[str, dict[str, int]] = {}  # by field and split: the row with a value
        self._values: dict[tuple[str, str], int] = {}
        for radiograph in radiographs:
            split = radiograph.split
            number = self._rows[split] = self._rows.get(split, 0) + 1
            for field, value in radiograph_fields(radiograph).items():
                if value is not None:
                    self._first.setdefault(field, {}).setdefault(split, number)
                    self._values[field, split] = self._values.get((field, split), 0) + 1
        self.columns = [field for field in FIELDS if field in self._first]

    def ambiguous(self, further: Iterable[str]) -> Iterator[str]:
        """What prevents `datasets` from reading a CSV of these, a line for each type.

        `further`: other text columns that are blank throughout a split.
        """
        texts = [
            *further,
            *(
                field
                for field in self.columns
                if field not in FIELD_TYPES
                and any(
                    self._first[field].get(split, _INFERRED_FROM + 1) > _INFERRED_FROM
                    for split in self._rows
                )
            ),
        ]
        integers = [
            field
            for field in self.columns
            if FIELD_TYPES.get(field) is int
            and any(self._values.get((field, split)) != rows for split, rows in self._rows.items())
        ]
        for fields, what in ((texts, "text"), (integers, "an integer")):
            if fields:
                yield (
                    f"`datasets` cannot infer from metadata.csv that {', '.join(fields)} is {what}:"
                    " it is blank in some split; for `datasets`, set folder.metadata: parquet."
                )


@contextmanager
def _open_metadata(folder: Path, columns: list[str], kind: str) -> Iterator[_RowWriter]:
    """The metadata table of a split, as a function that takes rows."""
    if kind == "csv":
        with open_csv(folder / "metadata.csv", columns) as table:
            yield lambda known: table.add(*map(_cell, known.values()))
        return
    types = [
        (name, _TYPES[FIELD_TYPES[name]] if name in FIELD_TYPES else pa.string())
        for name in columns
    ]
    schema = pa.schema(types)
    waiting: list[dict[str, Any]] = []
    with pq.ParquetWriter(folder / "metadata.parquet", schema) as writer:

        def write_waiting() -> None:
            if waiting:
                writer.write_table(pa.Table.from_pylist(waiting, schema))
                waiting.clear()

        def add(known: dict[str, Any]) -> None:
            waiting.append({name: _cell(value) for name, value in known.items()})
            if len(waiting) == _CHUNK:
                write_waiting()

        yield add
        write_waiting()


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value
