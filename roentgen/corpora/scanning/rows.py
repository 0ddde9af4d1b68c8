"""Row reader of CSV, TSV (also gzipped), JSON-lines and Parquet tables; cells are texts."""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from roentgen.errors import InputError

_BATCH = 4096  # rows of a Parquet file that are held at a time


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[dict[str, str] | None]:
    """The named columns of each row, "" where blank; None for a row with too few or many fields.

    Raises InputError, naming the file, for one that is absent or damaged and for a missing column.
    """
    if not path.is_file():
        raise InputError(f"no such table: {path}")
    match path.suffix:
        case ".parquet":
            yield from _read_parquet(path, columns)
        case ".jsonl":
            yield from _read_json_lines(path, columns)
        case _:
            yield from _read_csv(path, columns)


def column_names(path: Path) -> list[str]:
    """The header of a CSV or TSV (also gzipped). Raises InputError as `read_rows` does."""
    if not path.is_file():
        raise InputError(f"no such table: {path}")
    with _readable(path), _open_text(path) as file:
        return next(csv.reader(file, delimiter=_delimiter(path), strict=True), [])


def _check_columns(path: Path, columns: Sequence[str], have: Sequence[str]) -> None:
    for column in columns:
        if column not in have:
            raise InputError(f"{path} has no column {column!r}; it has: {', '.join(have)}")


def _read_parquet(path: Path, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    names = list(dict.fromkeys(columns))
    try:
        with pq.ParquetFile(path) as file:
            _check_columns(path, names, file.schema_arrow.names)
            for batch in file.iter_batches(_BATCH, columns=names):
                for row in batch.to_pylist():
                    yield {k: "" if v is None else str(v) for k, v in row.items()}
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"table {path} cannot be read: {' '.join(str(error).split())}") from None


def _read_csv(path: Path, columns: Sequence[str]) -> Iterator[dict[str, str] | None]:
    names = list(dict.fromkeys(columns))
    with _readable(path), _open_text(path) as file:
        reader = csv.reader(file, delimiter=_delimiter(path), strict=True)
        header = next(reader, [])
        _check_columns(path, names, header)
        places = [header.index(column) for column in names]
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                yield None
                continue
            yield {column: row[i] for column, i in zip(names, places, strict=True)}


def _read_json_lines(path: Path, columns: Sequence[str]) -> Iterator[dict[str, str] | None]:
    """A line that is no JSON object of texts gives None; a key may be absent from some lines."""
    names = list(dict.fromkeys(columns))
    seen: dict[str, None] = {}
    with _readable(path), _open_text(path) as file:
        for line in file:
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                row = None
            if not isinstance(row, dict):
                yield None
                continue
            seen.update(dict.fromkeys(row))
            cells = {column: _cell(row.get(column)) for column in names}
            yield cells if _is_text("".join(cells.values())) else None
    _check_columns(path, names, list(seen))


def _cell(value: Any) -> str:
    """A JSON value as a table's cell: a list of words as "a;b", true as 1."""
    match value:
        case None:
            return ""
        case bool():
            return str(int(value))
        case str():
            return value
        case list() if all(isinstance(word, str) for word in value):
            return ";".join(value)
        case _:
            return json.dumps(value)


def _is_text(cells: str) -> bool:
    r"""Whether it can be written: JSON's "\ud800" is half a character."""
    try:
        cells.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _delimiter(path: Path) -> str:
    return "\t" if ".tsv" in path.suffixes else ","


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Errors of reading become one line that names the table."""
    try:
        yield
    except (OSError, EOFError, zlib.error, csv.Error) as error:
        raise InputError(f"table {path} cannot be read: {error}") from None
    except UnicodeDecodeError:
        raise InputError(f"table {path} is not text in UTF-8") from None


@contextmanager
def _open_text(path: Path) -> Iterator[TextIO]:
    with path.open("rb") as raw:
        binary = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw
        with io.TextIOWrapper(binary, encoding="utf-8-sig", newline="") as text:
            yield text
