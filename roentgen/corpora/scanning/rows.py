"""Row reader of CSV, TSV (also gzipped), JSON-lines and Parquet tables; cells are texts."""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from roentgen.errors import InputError
from roentgen.untrusted_files import open_regular

_BATCH = 4096  # rows of a Parquet file that are held at a time
LONGEST_ROW = 1 << 22  # characters; no row of a corpus has more than 100,000
_LARGEST_BATCH = 1 << 28  # bytes
_LARGEST_GROUP = 1 << 32  # bytes of a row group, unpacked
_PARQUET_LIMITS = {"thrift_string_size_limit": 1 << 26, "thrift_container_size_limit": 1 << 20}


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[dict[str, str] | None]:
    """The named columns of each row, "" where blank; None for a row with too few or many fields.

    Cells lose the white space around them. Raises InputError, naming the file, for one that is
    absent or damaged and for a missing column.
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
    with _readable(path), open_text(path) as file:
        return next(csv_rows(file.readline, _delimiter(path)), [])


def csv_rows(readline: Callable[[int], str], delimiter: str = ",") -> Iterator[list[str]]:
    """The rows of a CSV, blank lines among them as []; `readline` takes the most characters.

    Raises csv.Error for a damaged row, a field of more than 131,072 characters and a row of more
    than `LONGEST_ROW`, before more of it is read.
    """
    left = LONGEST_ROW

    def lines() -> Iterator[str]:
        nonlocal left
        while line := readline(left + 1):
            left -= len(line)
            if left < 0:
                raise csv.Error(f"a row has more than {LONGEST_ROW} characters")
            yield line

    for row in csv.reader(lines(), delimiter=delimiter, strict=True):
        left = LONGEST_ROW
        yield row


def _check_columns(path: Path, columns: Sequence[str], have: Sequence[str]) -> None:
    for column in columns:
        if column not in have:
            raise InputError(f"{path} has no column {column!r}; it has: {', '.join(have)}")
        if (count := have.count(column)) > 1:
            raise InputError(f"{path} has {count} columns {column!r}: remove all but one")


def _read_parquet(path: Path, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    names = list(dict.fromkeys(columns))
    try:
        with pq.ParquetFile(path, **_PARQUET_LIMITS) as file:
            _check_columns(path, names, file.schema_arrow.names)
            _check_sizes(path, file.metadata)
            for batch in file.iter_batches(_BATCH, columns=names):
                batch.validate(full=True)
                if batch.nbytes > _LARGEST_BATCH:
                    raise InputError(f"table {path} has cells that are too long to read")
                for row in batch.to_pylist():
                    yield {k: "" if v is None else str(v).strip() for k, v in row.items()}
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"table {path} cannot be read: {' '.join(str(error).split())}") from None


def _check_sizes(path: Path, metadata: pq.FileMetaData) -> None:
    """Raises InputError for a row group that unpacks to more than memory should hold.

    Its columns are not looked at: of a damaged footer pyarrow ends the process there.
    """
    for number in range(metadata.num_row_groups):
        size = metadata.row_group(number).total_byte_size
        if size > _LARGEST_GROUP:
            raise InputError(
                f"table {path}: row group {number} unpacks to {size} bytes, more than "
                f"{_LARGEST_GROUP}: write it in smaller row groups"
            )


def _read_csv(path: Path, columns: Sequence[str]) -> Iterator[dict[str, str] | None]:
    names = list(dict.fromkeys(columns))
    with _readable(path), open_text(path) as file:
        reader = csv_rows(file.readline, _delimiter(path))
        header = next(reader, [])
        _check_columns(path, names, header)
        places = [header.index(column) for column in names]
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                yield None
                continue
            yield {column: row[i].strip() for column, i in zip(names, places, strict=True)}


def _read_json_lines(path: Path, columns: Sequence[str]) -> Iterator[dict[str, str] | None]:
    """A line that is no JSON object of texts gives None; a key may be absent from some lines."""
    names = list(dict.fromkeys(columns))
    seen: dict[str, None] = {}
    with _readable(path), open_text(path) as file:
        while line := file.readline(LONGEST_ROW + 1):
            if len(line) > LONGEST_ROW:
                raise csv.Error(f"a line has more than {LONGEST_ROW} characters")
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                cells = {column: _cell(row.get(column)) for column in names}
            except (ValueError, AttributeError, RecursionError):
                yield None
                continue
            seen.update(dict.fromkeys(row))
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
            return value.strip()
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
        raise InputError(f"table {path} is not text in UTF-8: save it so") from None


@contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """A table in UTF-8, unpacked if its name ends in .gz. Raises OSError if no regular file."""
    with open_regular(path) as raw:
        binary = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw
        with io.TextIOWrapper(binary, encoding="utf-8-sig", newline="") as text:
            yield text
