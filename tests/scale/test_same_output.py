"""What else may be wrong with the output of a preparation, or with the work begun in it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from roentgen.config import load_config
from roentgen.corpora.table import TableReader
from roentgen.dataset.dataset import open_dataset
from roentgen.errors import InputError
from roentgen.file_lock import process_lock
from roentgen.preparation.part_record import PART_ITEMS
from roentgen.prepare import PrepareConfig, prepare


def test_another_corpus_starts_anew_and_says_so(
    make_corpus: Callable[[Path, int, int], Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    corpus, out = make_corpus(tmp_path / "corpus", 2 * PART_ITEMS, 8), tmp_path / "made/out"
    config = load_config(PrepareConfig, [str(corpus), f"--output={out}", "--workers=1"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("roentgen.prepare.assemble_parts", interrupt)
        with pytest.raises(KeyboardInterrupt, match="2 finished parts remain"):
            prepare(config)
    with (tmp_path / "corpus/t.csv").open("a") as file:
        file.write("new,0.png,p0\n")
    capsys.readouterr()
    prepare(config)
    told = capsys.readouterr().out
    assert "discarded, for it had another corpus: starting over" in told
    dataset = open_dataset(out)
    ids = {row.id for name in dataset.splits for row in dataset.split(name).without_images()}
    assert ids == {"new", *map(str, range(2 * PART_ITEMS))}


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_an_output_that_cannot_be_written_is_told_before_the_scan(
    table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TableReader, "plan", interrupt)
    config = load_config(PrepareConfig, [str(table), "--output=/proc/roentgen/out"])
    with pytest.raises(InputError, match="output folder /proc/roentgen/out cannot be created"):
        prepare(config)


def test_the_second_of_two_runs_is_told_before_the_scan(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TableReader, "plan", interrupt)
    config = load_config(PrepareConfig, [str(table), f"--output={tmp_path / 'out'}"])
    with (
        process_lock(tmp_path / ".out.lock"),
        pytest.raises(InputError, match="another run is making"),
    ):
        prepare(config)
