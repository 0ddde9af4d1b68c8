"""A preparation by parts: killed, resumed, shared out, it gives the same bytes."""

import csv
import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roentgen.config import load_config
from roentgen.dataset.dataset import open_dataset
from roentgen.dataset.work_folder import order_of_parts
from roentgen.errors import InputError
from roentgen.file_lock import process_lock
from roentgen.imaging.images import encode_png
from roentgen.preparation import part_maker as work_module
from roentgen.preparation.part_maker import PartMaker
from roentgen.preparation.part_record import PART_ITEMS, PreparedPart, preparation_folder
from roentgen.preparation.postprocess import Postprocessing, token_length
from roentgen.preparation.workers import make_parts
from roentgen.prepare import PrepareConfig, make_reader, prepare

ROOT = Path(__file__).parents[3]
ITEMS = 4 * PART_ITEMS + 40


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration of a corpus of five parts, of which some images are damaged."""
    root = tmp_path_factory.mktemp("corpus")
    lines = ["image,patient,view,said,impression"]
    noise = np.random.default_rng(0).integers(0, 256, (10, 8, 12), dtype=np.uint8)
    good = [encode_png(pixels) for pixels in noise]
    for i in range(ITEMS):
        (root / f"{i}.png").write_bytes(good[i % 10] if i % 97 else b"")
        view = "LATERAL" if i % 9 == 0 else "PA"
        lines.append(f"{i}.png,p{i // 2},{view},Effusion,Small effusion number {i}.")
    (root / "t.csv").write_text("\n".join(lines) + "\n")
    config = root / "config.yaml"
    config.write_text(f"""
output: {root / "unset"}
size: 8
workers: 1
split: {{fractions: {{train: 0.7, validate: 0.1, test: 0.2}}}}
table:
  root: {root}
  file: t.csv
  image: image
  patient_id: patient
  view: view
  findings: said
  meanings: {{Effusion: {{name: Pleural Effusion}}}}
  report: {{impression: impression}}
  where: [{{column: view, none_of: [LATERAL]}}]
  source: clinic
  licenses: [{{name: CC0-1.0, data_use: null, may_share: true}}]
""")
    return config


@pytest.fixture(scope="module")
def whole(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset of an uninterrupted run."""
    return run_here(table, tmp_path_factory.mktemp("whole") / "out")


def config_of(table: Path, out: Path, *overrides: str) -> PrepareConfig:
    return load_config(PrepareConfig, [str(table), f"--output={out}", *overrides])


def run_here(table: Path, out: Path, *overrides: str) -> Path:
    prepare(config_of(table, out, *overrides))
    return out


def command(table: Path, out: Path, *overrides: str) -> list[str]:
    return ["-m", "roentgen.prepare", str(table), f"--output={out}", *overrides]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file's bytes, but for the lines of the manifest that say where and how it ran."""
    found = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    manifest = json.loads(found["roentgen.json"])
    del manifest["checksum"]
    for key in ("output", "workers", "disjoint_from", "same_splits_as"):
        del manifest["provenance"]["config"][key]
    found["roentgen.json"] = json.dumps(manifest).encode()
    return found


def hidden(out: Path) -> list[str]:
    return [path.name for path in out.parent.iterdir() if path.name.startswith(".")]


def interrupt(monkeypatch: pytest.MonkeyPatch, after: int, error: BaseException) -> list[int]:
    """Let parts fail after so many; returns the list that the made parts' numbers go to."""
    made: list[int] = []
    true_make = PartMaker.make

    def make(
        self: PartMaker, number: int, items: Any, shown: frozenset[int]
    ) -> PreparedPart | None:
        if len(made) == after:
            raise error
        made.append(number)
        return true_make(self, number, items, shown)

    monkeypatch.setattr(PartMaker, "make", make)
    return made


def test_finished_parts_are_not_made_again(
    table: Path,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        interrupt(patch, 2, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            run_here(table, out)
    assert hidden(out) == [".out.preparing"]
    made = interrupt(monkeypatch, -1, AssertionError())
    capsys.readouterr()
    run_here(table, out)
    assert made == [2, 3]  # a ninth of the items is not wanted: four parts
    assert "resuming with 2 of 4 parts" in capsys.readouterr().out
    assert contents(out) == contents(whole)
    assert not hidden(out)


def test_another_configuration_starts_anew_and_says_so(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        interrupt(patch, 2, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            run_here(table, out)
    made = interrupt(monkeypatch, -1, AssertionError())
    capsys.readouterr()
    run_here(table, out, "--size=10")
    assert made == [0, 1, 2, 3]
    assert "discarded, for it had another size: starting over" in capsys.readouterr().out
    assert open_dataset(out).manifest["preparation"]["size"] == 10


def test_damaged_parts_are_made_again(
    table: Path,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        interrupt(patch, 4, KeyboardInterrupt())
        patch.setattr("roentgen.prepare.assemble_parts", lambda *_: sys.exit(1))
        with pytest.raises(SystemExit):
            run_here(table, out)
    work = preparation_folder(out)
    cut, lost = (work.dataset / next(iter(work.read(i).shards.values())).index.file for i in (0, 1))
    cut.write_bytes(cut.read_bytes()[:-100])
    lost.unlink()
    work.record_path(2).write_bytes(work.record_path(2).read_bytes()[:50])
    work.record_path(3).write_text('{"number": 3}')
    # A run that is killed while it completes the dataset leaves more than shards.
    (work.dataset / ".checksums.json.partial").touch()
    (work.dataset / "train" / "state.json").touch()
    made = interrupt(monkeypatch, -1, AssertionError())
    run_here(table, out)
    assert made == [0, 1, 2, 3]
    assert "4 parts are damaged and made again" in capsys.readouterr().out
    assert contents(out) == contents(whole)


def test_workers_do_not_change_the_bytes(table: Path, whole: Path, tmp_path: Path) -> None:
    assert contents(run_here(table, tmp_path / "out", "--workers=3")) == contents(whole)


def test_processes_of_a_launch_share_the_work(table: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    done = subprocess.run(
        [*launch, *command(table, out)], cwd=ROOT, capture_output=True, text=True, timeout=1200
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("dataset: ") == 1
    assert contents(out) == contents(whole)
    assert not hidden(out)


def test_a_rank_makes_what_dead_ranks_left(table: Path, tmp_path: Path) -> None:
    assert order_of_parts(5, 1, 2) == [1, 3, 4, 2, 0]
    config = config_of(table, tmp_path / "out")
    reader = make_reader(config)
    items = reader.plan()[0]
    work = preparation_folder(config.output)
    maker = PartMaker(work=work, reader=reader, postprocess=Postprocessing())
    with work.lock():
        work.open({"test": 1})
        numbers = [p.number for p in make_parts(maker, items, frozenset(), workers=1, ranks=3)]
        assert numbers == [0, 3, 2, 1]
        assert maker.make(0, items[:PART_ITEMS], frozenset()) is None  # it is there
        work.remove()
        assert maker.make(0, items[:PART_ITEMS], frozenset()) is None  # another has finished
    assert not list(tmp_path.iterdir())


def test_a_process_with_other_work_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roentgen.dataset.work_folder._PATIENCE", 1)
    work = preparation_folder(tmp_path / "out")
    with work.lock():
        work.open({"size": 8, "views": ("PA",)})
        work.join({"size": 8, "views": ("PA",)})
        with pytest.raises(InputError, match=r"not this process's work \(another size\)"):
            work.join({"size": 16, "views": ("PA",)})


def test_two_runs_do_not_prepare_one_output(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with (
        process_lock(tmp_path / ".out.lock"),
        pytest.raises(InputError, match="another run is making"),
    ):
        run_here(table, out)


def test_too_many_bad_items_end_the_run_and_may_be_mended(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    with pytest.raises(InputError, match=r"items are bad, more than max_bad_share=0\.005"):
        run_here(table, out, "--max_bad_share=0.005")
    # Parts without bad items stay; here all have some.
    assert not hidden(out)
    monkeypatch.setattr(work_module, "PART_ITEMS", 16)
    with pytest.raises(InputError, match="max_bad_share"):
        run_here(table, out, "--max_bad_share=0.005")
    work = preparation_folder(out)
    kept = [work.read(number) for number in sorted(work.finished())]
    assert len(kept) > 10
    assert not any(part.excluded for part in kept)


def test_a_full_disk_keeps_what_is_finished(
    table: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    true_fsync, calls = os.fsync, iter(range(10**6))

    def refuse(descriptor: int) -> None:
        if next(calls) > 12:
            raise OSError(errno.ENOSPC, "No space left on device")
        true_fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(OSError, match="No space left"):
            run_here(table, out)
    assert not out.exists()
    assert preparation_folder(out).finished()
    run_here(table, out)
    assert contents(out) == contents(whole)


def test_everything_is_accounted_for(whole: Path) -> None:
    manifest = open_dataset(whole).manifest
    with (whole / "excluded.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["id", "reason", "expected"]
    expected = [row for row in rows[1:] if row[2] == "yes"]
    bad = [row for row in rows[1:] if row[2] == "no"]
    assert len(expected) == -(-ITEMS // 9)
    assert all("is empty" in reason for _, reason, _ in bad)
    counts = manifest["counts"]
    taken = sum(split["radiographs"] for split in counts.values())
    assert taken + len(rows) - 1 == ITEMS
    assert sum(manifest["excluded"].values()) == len(rows) - 1
    assert all(0 < split["patients"] <= split["radiographs"] for split in counts.values())
    assert sum(split["reports"]["impression"] for split in counts.values()) == taken
    length = manifest["text_lengths"]["impression"]
    assert length["texts"] == taken
    assert length["beyond"] == 0
    assert length["longest"] == token_length("Small effusion number 1000.")
    assert "texts, median" in (whole / "README.md").read_text()
    names = sorted(path.name for path in whole.iterdir())
    assert "contact_sheet.png" in names
    assert not [name for name in names if name.startswith(".")]


def test_patients_are_checked_between_datasets(table: Path, whole: Path, tmp_path: Path) -> None:
    def run(out: str, *overrides: str) -> None:
        few = "--table.where=[{column: view, any_of: [LATERAL]}]"
        run_here(table, tmp_path / out, few, *overrides)

    run("same", f"--same_splits_as=[{whole}]")
    with pytest.raises(InputError, match=r"patient 'p\d+' of clinic and \d+ more is also in"):
        run("a", f"--disjoint_from=[{whole}]")
    with pytest.raises(InputError, match=r"is also in .*\(\w+ here and \w+ there\)"):
        run("b", f"--same_splits_as=[{whole}]", "--seed=1")
    run("c", f"--disjoint_from=[{whole}]", "--table.source=elsewhere")
    with pytest.raises(InputError, match="no such folder"):
        run("d", "--disjoint_from=[/nowhere]")


def test_reports_are_finished_and_filtered(table: Path, tmp_path: Path) -> None:
    config = tmp_path / "t.yaml"
    lines = ["image,patient,impression"]
    texts = ["1. Small left\n pleural effusion.", "Unchanged edema. No pneumothorax.", "Ok.", ""]
    for i, text in enumerate(texts):
        lines.append(f'5.png,p{i},"{text}"')
    (table.parent / "few.csv").write_text("\n".join(lines) + "\n")
    config.write_text(table.read_text())
    run_here(
        config,
        tmp_path / "out",
        "--table.file=few.csv",
        "--table.id=patient",
        "--table.view=null",
        "--table.findings=null",
        "--table.where=[]",
        "--reports={label_findings: true, drop_prior: true}",
        "--filter={section: impression, min_characters: 7}",
        "--split={fractions: {train: 1.0, validate: 0.0, test: 0.0}}",
    )
    rows = list(open_dataset(tmp_path / "out").split("train"))
    assert [row.id for row in rows] == ["p0", "p1"]
    assert rows[0].report is not None
    assert rows[0].report.impression == "Small left pleural effusion."
    found = {(f.name, f.state) for f in rows[1].findings}
    assert found == {("Edema", "present"), ("Pneumothorax", "absent")}
    assert rows[1].report is not None
    assert "nchanged" not in (rows[1].report.impression or "")
    with (tmp_path / "out/excluded.csv").open(newline="") as file:
        rows_of = [row for row in csv.reader(file) if row[1] != "not in few.csv"]
        assert rows_of[1:] == [
            ["p2", "impression is shorter than 7 characters", "yes"],
            ["p3", "report has no impression", "yes"],
        ]


def test_tokens_are_those_of_the_model() -> None:
    from roentgen.diffusion.conditions.clip_tokenizer import clip_tokenizer
    from roentgen.diffusion.conditions.prompt_encoding import token_counts

    texts = ["Small left pleural effusion.", "No acute\n process; 1.5 cm nodule", "", "a " * 100]
    assert [token_length(text) for text in texts] == token_counts(clip_tokenizer(), texts)


@pytest.fixture(autouse=True)
def no_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests under a launcher does not share them out."""
    for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
