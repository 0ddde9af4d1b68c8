"""The table of CheXpert Plus (Chambon et al., 2024): the images of CheXpert with their reports.

Rows are read by their place in the file, so that the long texts stay out of memory.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, NamedTuple

from roentgen.corpora.scanning.rows import csv_rows
from roentgen.corpora.scanning.value_mapping import is_blank, report_of_columns
from roentgen.errors import InputError
from roentgen.record.radiograph import Report

_BOM = b"\xef\xbb\xbf"


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


class ChexpertRow(NamedTuple):
    """One image as a table has it."""

    path: str
    view: str  # the word: Lateral, AP, PA or blank
    age: str
    sex: str
    labels: str | InputError | None  # None: no table has the image
    race: str = ""
    place: int | None = None  # of the report
    has_report: bool = False


def read_plus(table: Path, columns: PlusColumns) -> Iterator[ChexpertRow | None]:
    """The row of each image, without labels; None for a row with too few or many fields."""
    names = [name for name in vars(columns).values() if name is not None]
    advice = "name it in chexpert.plus_columns, or set that to null"
    for place, row in read_places(table, names, advice):
        if row is None:
            yield None
            continue
        lateral = row[columns.frontal_lateral].strip() == "Lateral"
        sections = (columns.findings, columns.impression)
        yield ChexpertRow(
            path=row[columns.path],
            view="Lateral" if lateral else _text(row[columns.ap_pa]),
            age=row[columns.age] if columns.age else "",
            sex=row[columns.sex] if columns.sex else "",
            labels=None,
            race=_text(row[columns.race]) if columns.race else "",
            place=place,
            has_report=any(name is not None and _text(row[name]) for name in sections),
        )


def _text(cell: str) -> str:
    """A cell without its margins; "" for a word that means blank."""
    return "" if is_blank(cell) else cell.strip()


def plus_report(table: Path, place: int, columns: PlusColumns) -> Report:
    """The report of the row at a place."""
    row = read_row_at(table, place)
    try:
        return report_of_columns(row, vars(columns))
    except KeyError:
        raise InputError(f"table {table.name} has changed since it was scanned") from None


def read_places(
    path: Path, columns: Sequence[str], advice: str
) -> Iterator[tuple[int, dict[str, str] | None]]:
    """(place, the named columns) of each row; None for a row with too few or many fields.

    Raises InputError, naming the file, for one that is absent or damaged, and for a missing column
    with the `advice` for the user.
    """
    header = read_header_row(path)
    for column in columns:
        if column not in header:
            have = ", ".join(header)
            raise InputError(f"{path} has no column {column!r}: {advice}; it has: {have}")
    indices = [(column, header.index(column)) for column in columns]
    with path.open("rb") as file:
        place = _skip_bom(file)
        lines = _Lines(file, path)
        try:
            for number, row in enumerate(csv_rows(lines.readline)):
                if number and row:
                    complete = len(row) == len(header)
                    yield place, {name: row[i] for name, i in indices} if complete else None
                place = lines.position
        except csv.Error as error:
            raise InputError(f"table {path} cannot be read: {error}") from None


def read_row_at(path: Path, place: int) -> dict[str, str]:
    """The row at a place of `read_places`. Raises InputError if the file has changed since."""
    header = _cached_header(path)
    try:
        with path.open("rb") as file:
            file.seek(place)
            row = next(csv_rows(_Lines(file, path).readline), [])
    except (OSError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"table {path.name} cannot be read: {reason}") from None
    if len(row) != len(header):
        raise InputError(f"table {path.name} has changed since it was scanned")
    return dict(zip(header, row, strict=True))


def read_header_row(path: Path) -> list[str]:
    """The names of the columns."""
    if not path.is_file():
        raise InputError(f"no such table: {path}")
    if path.suffix == ".gz":
        raise InputError(f"table {path} must be unpacked: its rows are read by their place")
    try:
        with path.open("rb") as file:
            _skip_bom(file)
            return next(csv_rows(_Lines(file, path).readline), [])
    except (OSError, csv.Error) as error:
        raise InputError(f"table {path} cannot be read: {error}") from None


@lru_cache(maxsize=4)
def _cached_header(path: Path) -> list[str]:
    return read_header_row(path)


def _skip_bom(file: BinaryIO) -> int:
    if file.read(3) != _BOM:
        file.seek(0)
    return file.tell()


class _Lines:
    """The lines of a file as text, and how far they were read."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self.file = file
        self.path = path
        self.position = file.tell()

    def readline(self, limit: int) -> str:
        """A line of at most `limit` bytes."""
        line = self.file.readline(limit)
        self.position += len(line)
        try:  # a line that is cut is refused for its length
            return line.decode("utf-8", "replace" if len(line) == limit else "strict")
        except UnicodeDecodeError:
            raise InputError(f"table {self.path.name} is not text in UTF-8: save it so") from None
