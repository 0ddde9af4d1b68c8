from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState

from roentgen.config import load_config
from roentgen.diffusion.backbones.stable_diffusion import load_components
from roentgen.diffusion.components import Components
from roentgen.diffusion.denoiser import Denoiser
from roentgen.errors import InputError
from train.checks import check_inputs
from train.config import FinetuneConfig
from train.config_sections import LearningRates, OptimizerConfig
from train.finetuning import choose_weights, finetune
from train.optim.optimizer import build_optimizer
from train.setup.dry_run import RunEstimate, estimate, moments
from train.setup.memory import in_use, peak, reset_peak
from train.setup.networks import make_denoiser
from train.setup.processes import make_accelerator

Write = Callable[..., Path]
CPU = torch.device("cpu")


def estimated(path: Path, *overrides: str) -> RunEstimate:
    AcceleratorState._reset_state(reset_partial_state=True)
    config = load_config(FinetuneConfig, [str(path), *overrides])
    accelerator, inputs = make_accelerator(config), check_inputs(config)
    return estimate(
        config, inputs, make_denoiser(config, inputs, accelerator, choose_weights), accelerator
    )


def test_it_prints_and_leaves_nothing(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write()
    before = set(tmp_path.rglob("*"))
    AcceleratorState._reset_state(reset_partial_state=True)
    overrides = [f"--output={tmp_path / 'new' / 'run'}", f"--data.caches={tmp_path / 'shared'}"]
    finetune(load_config(FinetuneConfig, ["--dry-run", str(path), *overrides]))
    told = capsys.readouterr().out
    assert set(tmp_path.rglob("*")) == before
    for word in ("parameters", "text_encoder", "activations", "caches", "2 steps of"):
        assert word in told


def test_parameters_are_counted_by_net(write: Write, small_model: Path) -> None:
    found = estimated(write(learning_rate={"unet": None, "text_encoder": 1e-4})).parameters
    components = load_components(str(small_model))
    for name in ("unet", "vae"):
        assert found[name] == (getattr(components, name).num_parameters(), 0)
    held, trained = found["text_encoder"]
    assert held == components.text_encoder.num_parameters() + 3 * 16  # three view tokens
    assert trained == held


@pytest.mark.parametrize("name", ["adamw", "adafactor"])
def test_moments_are_what_the_optimizer_keeps(
    make_small_components: Callable[..., Components], name: Any
) -> None:
    denoiser = Denoiser(make_small_components())
    optimizer = build_optimizer(denoiser, OptimizerConfig(name=name), vars(LearningRates()))
    for _, weight in denoiser.trained():
        weight.grad = torch.ones_like(weight)
    optimizer.step()
    for _, weight in denoiser.trained():
        kept = [v for v in optimizer.state[weight].values() if isinstance(v, torch.Tensor)]
        state = sum(v.numel() * v.element_size() for v in kept if v.ndim)  # not its count of steps
        assert moments(name, weight) == state


def test_time_follows_from_what_was_tried(write: Write) -> None:
    found = estimated(write(steps=10, batch_size=8, gradient_accumulation=2))
    assert found.step > 0
    assert found.steps == 10
    assert found.seconds == pytest.approx(found.encoding + 10 * found.step)
    assert found.encoding > 0


def test_what_is_done_already_takes_no_time(
    write: Write, fine_tune: Callable[..., Any], tmp_path: Path
) -> None:
    caches = tmp_path / "caches"
    path, there = write(), f"--data.caches={caches}"
    fine_tune(path, there)
    found = estimated(path, there, "--resume", "--steps=5", "--allow-changes")
    assert (found.encoding, found.steps) == (0, 3)


def test_memory_is_what_the_process_takes() -> None:
    size = 200_000_000
    reset_peak(CPU)
    before = in_use(CPU)
    held = torch.ones(size // 4)
    assert in_use(CPU) - before == pytest.approx(size, rel=0.05)
    del held
    assert peak(CPU) - before == pytest.approx(size, rel=0.05)
    reset_peak(CPU)
    assert peak(CPU) - before < size / 2


def test_a_mistake_is_told_all_the_same(write: Write) -> None:
    AcceleratorState._reset_state(reset_partial_state=True)
    with pytest.raises(InputError, match="batch_size 17 is larger than split"):
        finetune(load_config(FinetuneConfig, [str(write()), "--dry-run", "--batch_size=17"]))
