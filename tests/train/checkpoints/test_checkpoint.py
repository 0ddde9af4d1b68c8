import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from roentgen.checksums import write_checked_json
from roentgen.chunk_checksums import find_chunk_damage
from roentgen.diffusion.components import Components
from roentgen.diffusion.denoiser import Denoiser
from roentgen.errors import InputError
from roentgen.manifest import differences
from train.checkpoints.checkpoint import (
    TrainingState,
    load_checkpoint,
    newest_checkpoint,
    save_checkpoint,
)
from train.config_sections import LearningRates, OptimizerConfig
from train.optim.ema import Ema
from train.optim.optimizer import build_optimizer


@pytest.fixture
def state(make_small_components: Callable[..., Components]) -> TrainingState:
    denoiser = Denoiser(make_small_components())
    optimizer = build_optimizer(denoiser, OptimizerConfig(), vars(LearningRates()))
    for _, weight in denoiser.trained():
        weight.grad = torch.ones_like(weight)
    optimizer.step()
    ema = Ema(denoiser, decay=0.9)
    return TrainingState(denoiser=denoiser, optimizer=optimizer, ema=ema, scaler=None, step=5)


def save(folder: Path, state: TrainingState, step: int, keep: int = 2) -> Path:
    state.step = step
    save_checkpoint(folder, state, {"seed": 0}, keep)
    return folder / f"step-{step:08d}"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def newest(folder: Path) -> int | None:
    found = newest_checkpoint(folder)
    return found[1]["step"] if found else None


def test_the_newest_are_kept_and_found(state: TrainingState, tmp_path: Path) -> None:
    for step in (5, 10, 15):
        save(tmp_path, state, step)
    assert names(tmp_path) == ["step-00000010", "step-00000015"]
    assert newest(tmp_path) == 15
    assert newest(tmp_path / "nothing") is None


def flip_a_bit(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("manifest torn", "checkpoint.json has changed since it was"),
        ("manifest changed", "checkpoint.json has changed since it was"),
        ("manifest absent", "checkpoint.json: No such file"),
        ("weights torn", "weights.safetensors has 4 bytes in place of"),
        ("bit in the header", "weights.safetensors holds other bytes"),
        ("last bit", "optimizer.safetensors holds other bytes"),
        ("average absent", "ema.safetensors: No such file"),
    ],
)
def test_a_damaged_one_is_named_and_passed_over(
    state: TrainingState, tmp_path: Path, damage: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path, state, 5)
    bad = save(tmp_path, state, 10)
    manifest = bad / "checkpoint.json"
    match damage:
        case "manifest torn":
            manifest.write_text('{"step": 10')
        case "manifest changed":
            manifest.write_text(manifest.read_text().replace('"step": 10', '"step": 11'))
        case "manifest absent":
            manifest.unlink()
        case "weights torn":
            (bad / "weights.safetensors").write_bytes(b"half")
        case "bit in the header":
            flip_a_bit(bad / "weights.safetensors", 100)
        case "last bit":
            flip_a_bit(bad / "optimizer.safetensors", -1)
        case "average absent":
            (bad / "ema.safetensors").unlink()
    assert newest(tmp_path) == 5
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"checkpoint {bad} is damaged and skipped: ")
    assert told in line


def test_a_damaged_one_is_never_counted_as_kept(state: TrainingState, tmp_path: Path) -> None:
    save(tmp_path, state, 5)
    bad = save(tmp_path, state, 10)
    flip_a_bit(bad / "weights.safetensors", -1)
    save(tmp_path, state, 7, keep=1)
    assert newest(tmp_path) == 7
    save(tmp_path, state, 10, keep=1)  # in its place
    assert newest(tmp_path) == 10
    assert names(tmp_path) == [bad.name]


def no_room_to_write(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("moment", ["write_tensors", "write_checked_json"])
def test_a_failed_save_leaves_the_old_ones(
    state: TrainingState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    save(tmp_path, state, 5, keep=1)
    monkeypatch.setattr(f"train.checkpoints.checkpoint.{moment}", no_room_to_write)
    with pytest.raises(OSError, match="No space left"):
        save(tmp_path, state, 10, keep=1)
    assert names(tmp_path) == ["step-00000005"]
    assert newest(tmp_path) == 5


def test_the_manifest_comes_last_and_the_name_after_it(
    state: TrainingState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def noted(path: Path, value: dict[str, Any]) -> None:
        seen.append((names(path.parent), names(tmp_path)))
        assert find_chunk_damage(path.parent, value["files"]) == []
        write_checked_json(path, value)

    monkeypatch.setattr("train.checkpoints.checkpoint.write_checked_json", noted)
    save(tmp_path, state, 5)
    ((files, folders),) = seen
    assert files == ["ema.safetensors", "optimizer.safetensors", "weights.safetensors"]
    assert [folder for folder in folders if not folder.startswith(".")] == []
    assert names(tmp_path) == ["step-00000005"]


def test_too_little_room_is_seen_before_anything_is_written(
    state: TrainingState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = sum(file.stat().st_size for file in save(tmp_path, state, 5).iterdir())
    usage = shutil.disk_usage(tmp_path)._replace(free=size)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    monkeypatch.setattr("train.checkpoints.checkpoint.write_tensors", None)
    with pytest.raises(OSError, match=r"0\.01 GB free, 0\.03 GB needed"):
        save(tmp_path, state, 10)


def test_nothing_in_it_is_a_pickle(state: TrainingState, tmp_path: Path) -> None:
    path = save(tmp_path, state, 5)
    assert {file.suffix for file in path.iterdir()} == {".safetensors", ".json"}
    assert json.loads((path / "checkpoint.json").read_text())["identity"] == {"seed": 0}


def test_weights_average_and_step_come_back(
    state: TrainingState, make_small_components: Callable[..., Components], tmp_path: Path
) -> None:
    save(tmp_path, state, 5)
    denoiser = Denoiser(make_small_components(seed=1))
    optimizer = build_optimizer(denoiser, OptimizerConfig(), vars(LearningRates()))
    fresh = TrainingState(
        denoiser=denoiser, optimizer=optimizer, ema=Ema(denoiser, decay=0.9), scaler=None
    )
    found = newest_checkpoint(tmp_path)
    assert found is not None
    load_checkpoint(*found, fresh)
    assert fresh.step == 5
    assert optimizer.state_dict()["param_groups"] == state.optimizer.state_dict()["param_groups"]
    assert state.ema is not None
    assert fresh.ema is not None
    for (name, before), (_, after) in zip(
        state.denoiser.trained(), denoiser.trained(), strict=True
    ):
        assert torch.equal(before, after)
        assert torch.equal(state.ema.weights[name], fresh.ema.weights[name])


def test_other_weights_and_optimizers_are_refused(
    state: TrainingState, make_small_components: Callable[..., Components], tmp_path: Path
) -> None:
    save(tmp_path, state, 5)
    found = newest_checkpoint(tmp_path)
    assert found is not None
    other = Denoiser(make_small_components())
    adafactor = build_optimizer(other, OptimizerConfig(name="adafactor"), vars(LearningRates()))
    fresh = TrainingState(denoiser=other, optimizer=adafactor, ema=None, scaler=None)
    with pytest.raises(InputError, match="of optimizer AdamW, not Adafactor: restore optimizer"):
        load_checkpoint(*found, fresh)
    other.freeze({"text_encoder": 1e-5})
    fresh.optimizer = build_optimizer(other, OptimizerConfig(), vars(LearningRates()))
    with pytest.raises(InputError, match=r"other weights .* \(unet\..* is the first that differs"):
        load_checkpoint(*found, fresh)


def test_differences_are_named_by_section_and_key() -> None:
    old = {"seed": 0, "optimizer": {"clip": 1.0, "name": "adamw"}}
    new = {"seed": 1, "optimizer": {"clip": 1.0, "name": "adafactor"}, "batch_size": 4}
    assert differences(old, old) == []
    assert differences(old, new) == [
        "batch_size: None -> 4",
        "optimizer.name: adamw -> adafactor",
        "seed: 0 -> 1",
    ]
    found = {"precision": "bf16", "attention": "auto"}
    assert differences(found, found | {"precision": "auto"}) == []
    assert differences(found, found | {"attention": "math"}) == ["attention: auto -> math"]
