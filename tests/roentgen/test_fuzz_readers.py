"""Damaged tables and configurations: read or refused with one line, by no signal or other error."""

import io
import json
import multiprocessing
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from roentgen.config import load_config
from roentgen.corpora.scanning.rows import read_rows
from roentgen.errors import InputError
from roentgen.preparation.config import PrepareConfig
from roentgen.untrusted_files import read_json, refuse_code

Mutants = Callable[..., Iterator[bytes]]
ROWS = [{"a": f"x{n}", "b": "\u00fc, y", "c": str(n)} for n in range(20)]
SECONDS = 3600


def parquet() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([row | {"n": 1, "l": ["p"]} for row in ROWS]), file)
    return file.getvalue()


def yaml_file() -> bytes:
    return (Path(__file__).parents[2] / "configs/data/mimic_cxr.yaml").read_bytes()


TABLE = "a,b,c\n" + "".join(f'{r["a"]},"{r["b"]}",{r["c"]}\n' for r in ROWS)
FILES: dict[str, bytes] = {
    "x.csv": TABLE.encode(),
    "x.tsv": TABLE.replace(",", "\t").encode(),
    "x.jsonl": "\n".join(map(json.dumps, ROWS)).encode(),
    "x.parquet": parquet(),
    "x.yaml": yaml_file(),
    "config.json": json.dumps({"model_type": "bert", "sizes": [1, 2], "a": {"b": None}}).encode(),
}


def read(path: Path) -> None:
    if path.suffix == ".yaml":
        load_config(PrepareConfig, [str(path)])
    elif path.suffix == ".json":
        refuse_code(path.parent)
        try:
            read_json(path)
        except (OSError, ValueError) as error:
            raise InputError(str(error)) from None
    else:
        list(read_rows(path, ["a", "c"]))


def read_all(path: Path, damaged: list[bytes]) -> None:
    """Ends with an exit status other than 0 at the first foreign exception."""
    for data in damaged:
        path.write_bytes(data)
        try:
            read(path)
        except InputError as error:
            if "\n" in str(error):
                raise AssertionError("not one line") from error


@pytest.mark.parametrize("count", [200, pytest.param(10_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", FILES)
def test_damaged_files_are_read_or_refused(
    name: str, count: int, mutants: Mutants, tmp_path: Path
) -> None:
    damaged = list(mutants(FILES[name], count))
    process = multiprocessing.get_context("fork").Process(
        target=read_all, args=(tmp_path / name, damaged)
    )
    process.start()
    process.join(SECONDS)
    assert process.exitcode == 0  # below 0: a signal; None: it hangs
