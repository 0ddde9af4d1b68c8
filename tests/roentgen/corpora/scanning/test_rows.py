"""Tables that are hostile: refused with one line before they fill the memory."""

import gzip
import json
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from roentgen.corpora.scanning import rows
from roentgen.corpora.scanning.rows import LONGEST_ROW, column_names, read_rows
from roentgen.errors import InputError

MIB = 1 << 20


def write_gzip(path: Path, begin: bytes, repeated: bytes, count: int) -> Path:
    with gzip.open(path, "wb") as file:
        file.write(begin)
        for _ in range(count):
            file.write(repeated)
    return path


@pytest.mark.parametrize(
    ("name", "begin", "repeated"),
    [
        ("one-line.csv.gz", b"a,b\n", b"x" * MIB),
        ("header.csv.gz", b"", b"a," * (MIB // 2)),
        ("one-row.csv.gz", b"a,b\n1,2\n", b'"\n",' * (MIB // 4)),
        ("one-field.csv.gz", b'a,b\n"', b"x\n" * (MIB // 2)),
        ("one-line.tsv.gz", b"a\tb\n", b"x" * MIB),
    ],
)
def test_a_row_is_never_read_whole_if_it_is_too_long(
    name: str, begin: bytes, repeated: bytes, tmp_path: Path
) -> None:
    path = write_gzip(tmp_path / name, begin, repeated, 200)
    tracemalloc.start()
    with pytest.raises(InputError, match=rf"table .*{name} cannot be read: .*(row|field)"):
        list(read_rows(path, ["a", "b"]))
    assert tracemalloc.get_traced_memory()[1] < 60 * MIB
    tracemalloc.stop()


def test_a_header_that_is_too_long_is_refused(tmp_path: Path) -> None:
    path = write_gzip(tmp_path / "x.csv.gz", b"", b"a," * (MIB // 2), 10)
    with pytest.raises(InputError, match="a row has more than"):
        column_names(path)


def test_rows_up_to_the_limit_are_read(tmp_path: Path) -> None:
    cells = ["x" * 100_000] * 40
    path = tmp_path / "x.csv"
    path.write_text("\n".join([",".join(f"c{i}" for i in range(40)), *[",".join(cells)] * 3]))
    assert len(",".join(cells)) < LONGEST_ROW
    assert list(read_rows(path, ["c39"])) == [{"c39": "x" * 100_000}] * 3


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_end_of_line_is_read(end: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(f'a,b{end}1,"2{end}3"{end}'.encode())
    assert list(read_rows(tmp_path / "x.csv", ["a", "b"])) == [{"a": "1", "b": f"2{end}3"}]


def test_json_lines_of_any_length_and_depth(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    deep = '{"a": ' + "[" * 900 + "]" * 900 + "}"
    path.write_text('{"a": "1"}\n[]\n' + "[" * 100_000 + "\n" + deep + "\n" + '{"a": ' + "9" * 5000)
    read = list(read_rows(path, ["a"]))
    assert read[:3] == [{"a": "1"}, None, None]
    assert read[4] is None
    path.write_text(json.dumps({"a": "x" * LONGEST_ROW}))
    with pytest.raises(InputError, match=r"x\.jsonl cannot be read: a line has more than"):
        list(read_rows(path, ["a"]))


def test_a_row_group_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pa.table({"a": ["x" * 1000] * 1000, "b": ["y"] * 1000})
    pq.write_table(table, tmp_path / "x.parquet", use_dictionary=False, compression="zstd")
    assert len(list(read_rows(tmp_path / "x.parquet", ["a"]))) == 1000
    monkeypatch.setattr(rows, "_LARGEST_GROUP", 500_000)
    with pytest.raises(InputError, match=r"x\.parquet: row group 0 unpacks to 1\d{6} bytes"):
        list(read_rows(tmp_path / "x.parquet", ["a", "b"]))


def test_repeated_long_cells_of_a_dictionary_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A dictionary page holds the cell once; read as texts it fills the memory with each row.
    pq.write_table(pa.table({"a": ["x" * 10_000] * 4000}), tmp_path / "x.parquet")
    assert (tmp_path / "x.parquet").stat().st_size < 100_000
    monkeypatch.setattr(rows, "_LARGEST_BATCH", 1_000_000)
    with pytest.raises(InputError, match="has cells that are too long to read"):
        list(read_rows(tmp_path / "x.parquet", ["a"]))


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl", "x.parquet", "x.csv.gz"])
def test_a_device_is_no_table(name: str, tmp_path: Path) -> None:
    (tmp_path / name).symlink_to("/dev/zero")
    with pytest.raises(InputError, match="no such table"):
        list(read_rows(tmp_path / name, ["a"]))
