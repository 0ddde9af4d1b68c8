"""A disk that fills up while training, and runs that are resumed with something changed."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from roentgen.errors import InputError
from train import tensor_file
from train.checkpoints import checkpoint

Write = Callable[..., Path]
FineTune = Callable[..., Any]


def fill_disk(patch: pytest.MonkeyPatch, *fails: int) -> None:
    """Let these files of all that checkpoints write, counted from 0, end in the middle."""
    count, write_tensors = 0, tensor_file.write_tensors

    def write(path: Path, *rest: Any) -> Any:
        nonlocal count
        count += 1
        record = write_tensors(path, *rest)
        if count - 1 in fails:
            path.write_bytes(path.read_bytes()[:1000])
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return record

    patch.setattr("train.checkpoints.checkpoint.write_tensors", write)
    patch.setattr("train.checkpoints.saver.SECONDS_TO_RETRY", 0.0)


def folders(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "checkpoints").iterdir())


def test_training_survives_a_full_disk_and_the_checkpoint_before_stays(
    write: Write,
    fine_tune: FineTune,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = write(steps=6, checkpoint={"every": 2, "keep": 1}, validation=None)
    whole = fine_tune(path, f"--output={tmp_path / 'whole'}")
    with monkeypatch.context() as patch:
        fill_disk(patch, 4)  # three files a checkpoint: the second one's second
        pruned = []
        prune = checkpoint.prune_checkpoints

        def noted(folder: Path, step: int, keep: int) -> None:
            pruned.append((step, folders(folder.parent)))
            prune(folder, step, keep)

        patch.setattr("train.checkpoints.checkpoint.prune_checkpoints", noted)
        run = fine_tune(path)
    assert "step 4 could not be saved (No space left on device); training continues" in (
        capsys.readouterr().out
    )
    assert run.metrics("failed_saves") == [1]
    # Step 2 was there until step 6 was whole.
    assert pruned[-1] == (6, ["step-00000002", "step-00000006"])
    assert folders(run.folder) == ["step-00000006"]
    one, other = whole.checkpoint(6), run.checkpoint(6)
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def test_the_last_checkpoint_is_tried_again(
    write: Write, fine_tune: FineTune, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        fill_disk(patch, 3)
        run = fine_tune(write(steps=3, checkpoint={"every": 2}, validation=None))
    assert folders(run.folder) == ["step-00000002", "step-00000003"]
    assert run.metrics("failed_saves") == []


def test_without_room_for_the_last_checkpoint_the_run_can_be_resumed(
    write: Write, fine_tune: FineTune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(steps=3, checkpoint={"every": 2}, validation=None)
    with monkeypatch.context() as patch:
        fill_disk(patch, 3, 4)
        with pytest.raises(InputError, match=r"step 3 could not be saved .* with resume=true"):
            fine_tune(path)
    assert folders(tmp_path / "run") == ["step-00000002"]
    assert not (tmp_path / "run" / "model").exists()
    run = fine_tune(path, "--resume=true")
    assert folders(run.folder) == ["step-00000002", "step-00000003"]
    assert [line["step"] for line in run.lines("loss")] == [1, 2, 3]


def test_other_data_and_settings_are_refused_and_listed_unless_allowed(
    write: Write, fine_tune: FineTune, tmp_path: Path, make_small_dataset: Callable[..., Path]
) -> None:
    path = write(validation=None)
    fine_tune(path)
    other = make_small_dataset(tmp_path / "other", train=20)
    changes = (f"--data.folder={other}", "--optimizer.clip=0.5", "--steps=3")
    with pytest.raises(InputError, match="set allow_changes=true") as error:
        fine_tune(path, "--resume=true", *changes)
    listed = str(error.value).partition("another run (")[2].partition(")")[0].split("; ")
    names = [difference.partition(":")[0] for difference in listed]
    assert names == ["config.optimizer.clip", "config.steps", "dataset"]
    assert listed[0] == "config.optimizer.clip: 1.0 -> 0.5"
    run = fine_tune(path, "--resume=true", "--allow_changes=true", *changes)
    assert [line["step"] for line in run.lines("loss")] == [1, 2, 3]
