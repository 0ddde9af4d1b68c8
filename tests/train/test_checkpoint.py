import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from roentgen.errors import InputError
from roentgen.models.stable_diffusion import Parts
from train.checkpoint import (
    State,
    differences,
    load_checkpoint,
    newest_checkpoint,
    save_checkpoint,
)
from train.config import LearningRates, OptimizerConfig
from train.denoiser import Denoiser
from train.ema import Ema
from train.optimizer import build_optimizer


@pytest.fixture
def state(make_small_parts: Callable[..., Parts]) -> State:
    denoiser = Denoiser(make_small_parts())
    optimizer = build_optimizer(denoiser, OptimizerConfig(), LearningRates())
    for _, weight in denoiser.trained():
        weight.grad = torch.ones_like(weight)
    optimizer.step()
    ema = Ema(denoiser, decay=0.9)
    return State(denoiser=denoiser, optimizer=optimizer, ema=ema, scaler=None, step=5)


def save(folder: Path, state: State, step: int, keep: int = 2) -> Path:
    state.step = step
    return save_checkpoint(folder, state, {"seed": 0}, keep)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_newest_are_kept_and_found(state: State, tmp_path: Path) -> None:
    for step in (5, 10, 15):
        save(tmp_path, state, step)
    assert names(tmp_path) == ["step-00000010", "step-00000015"]
    found = newest_checkpoint(tmp_path)
    assert found is not None
    assert found[0].name == "step-00000015"
    assert found[1]["step"] == 15
    assert newest_checkpoint(tmp_path / "nothing") is None


@pytest.mark.parametrize("damage", ["manifest", "weights", "absent"])
def test_a_damaged_one_is_passed_over_and_never_counted_as_kept(
    state: State, tmp_path: Path, damage: str
) -> None:
    good, bad = save(tmp_path, state, 5), save(tmp_path, state, 10)
    match damage:
        case "manifest":
            (bad / "checkpoint.json").write_text('{"step": 10')
        case "weights":
            (bad / "weights.safetensors").write_bytes(b"half")
        case "absent":
            (bad / "ema.safetensors").unlink()
    found = newest_checkpoint(tmp_path)
    assert found is not None
    assert found[0] == good
    save(tmp_path, state, 7, keep=1)
    found = newest_checkpoint(tmp_path)
    assert found is not None
    assert found[1]["step"] == 7
    assert newest_checkpoint(save(tmp_path, state, 10).parent) is not None  # the damaged one goes


def test_a_failed_save_leaves_the_old_ones(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, state, 5, keep=1)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("train.checkpoint.write_json", full)
    with pytest.raises(OSError, match="No space left"):
        save(tmp_path, state, 10, keep=1)
    assert names(tmp_path) == ["step-00000005"]


def test_nothing_in_it_is_a_pickle(state: State, tmp_path: Path) -> None:
    path = save(tmp_path, state, 5)
    assert {file.suffix for file in path.iterdir()} == {".safetensors", ".json"}
    assert json.loads((path / "checkpoint.json").read_text())["identity"] == {"seed": 0}


def test_weights_average_and_step_come_back(
    state: State, make_small_parts: Callable[..., Parts], tmp_path: Path
) -> None:
    save(tmp_path, state, 5)
    denoiser = Denoiser(make_small_parts(seed=1))
    optimizer = build_optimizer(denoiser, OptimizerConfig(), LearningRates())
    fresh = State(denoiser=denoiser, optimizer=optimizer, ema=Ema(denoiser, decay=0.9), scaler=None)
    found = newest_checkpoint(tmp_path)
    assert found is not None
    load_checkpoint(*found, fresh)
    assert fresh.step == 5
    assert state.ema is not None
    assert fresh.ema is not None
    for (name, before), (_, after) in zip(
        state.denoiser.trained(), denoiser.trained(), strict=True
    ):
        assert torch.equal(before, after)
        assert torch.equal(state.ema.weights[name], fresh.ema.weights[name])


def test_other_weights_and_optimizers_are_refused(
    state: State, make_small_parts: Callable[..., Parts], tmp_path: Path
) -> None:
    save(tmp_path, state, 5)
    found = newest_checkpoint(tmp_path)
    assert found is not None
    other = Denoiser(make_small_parts())
    adafactor = build_optimizer(other, OptimizerConfig(name="adafactor"), LearningRates())
    fresh = State(denoiser=other, optimizer=adafactor, ema=None, scaler=None)
    with pytest.raises(InputError, match="of optimizer AdamW, not Adafactor: restore optimizer"):
        load_checkpoint(*found, fresh)
    other.freeze(unet=True, text_encoder=False)
    with pytest.raises(InputError, match=r"other weights .* \(unet\..* is the first that differs"):
        load_checkpoint(*found, fresh)


def test_differences_are_named_by_section_and_key() -> None:
    old = {"seed": 0, "optimizer": {"clip": 1.0, "name": "adamw"}}
    new = {"seed": 1, "optimizer": {"clip": 1.0, "name": "adafactor"}, "batch": 4}
    assert differences(old, old) == []
    assert differences(old, new) == [
        "batch: None -> 4",
        "optimizer.name: adamw -> adafactor",
        "seed: 0 -> 1",
    ]
