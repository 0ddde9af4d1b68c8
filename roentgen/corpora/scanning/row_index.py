"""Row index of a CSV: rows by their place in the file, so that long texts stay out of memory."""

import csv
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from roentgen.errors import InputError

_BOM = b"\xef\xbb\xbf"


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
        reader = csv.reader(lines, strict=True)
        try:
            for number, row in enumerate(reader):
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
            row = next(csv.reader(_Lines(file, path), strict=True), [])
    except (OSError, csv.Error) as error:
        raise InputError(f"table {path} cannot be read: {error}") from None
    if len(row) != len(header):
        raise InputError(f"table {path} has changed since it was scanned")
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
            return next(csv.reader(_Lines(file, path), strict=True), [])
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

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self.file.readline()
        if not line:
            raise StopIteration
        self.position += len(line)
        try:
            return line.decode("utf-8")
        except UnicodeDecodeError:
            raise InputError(f"table {self.path} is not text in UTF-8") from None
