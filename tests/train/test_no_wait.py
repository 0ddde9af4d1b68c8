"""No step waits for the device: it runs on one from which nothing can be read."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import PartialState
from torch.utils._python_dispatch import TorchDispatchMode

from train.loop import TrainingRun, train
from train.optim.ema import Ema, PosthocEma
from train.optim.nonfinite import NonfiniteGuard
from train.optim.optimizer import build_optimizer

META = torch.device("meta")  # shapes and types without data: reading a value is an error


class LookedError(Exception):
    """The loop has come to where it may wait."""


class Copies(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Collects the copies from the host to the device that wait until they are done."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.waited: list[str] = []

    def __torch_dispatch__(self, func: Any, kinds: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        copied = func is torch.ops.aten._to_copy.default and kwargs.get("device") == META
        if copied and args[0].device.type == "cpu" and not kwargs.get("non_blocking"):
            self.waited.append(f"{tuple(args[0].shape)} {args[0].dtype}")
        return func(*args, **kwargs)


def to_meta(training: TrainingRun, patch: pytest.MonkeyPatch) -> None:
    """Move all that trains to the device without data, with what belongs to it."""
    t, config = training, training.config
    module: Any = import_module("torch.optim.optimizer")
    fused = [*module._get_fused_kernels_supported_devices(), "meta"]
    patch.setattr(module, "_get_fused_kernels_supported_devices", lambda: fused)
    t.state.denoiser.to(META)
    for state in (t.accelerator.state, PartialState()):
        state.device = META
    t.process = t.process.to(META)
    optimizer = build_optimizer(t.state.denoiser, config.optimizer, config.rates())
    t.state.optimizer = optimizer
    t.optimizer.optimizer = optimizer
    t.state.ema = Ema(t.state.denoiser, 0.9, start=1)
    t.state.posthoc = PosthocEma(t.state.denoiser, (0.05, 0.1))


def test_steps_between_looks_read_nothing_from_the_device(
    write: Callable[..., Path],
    fine_tune: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copies = Copies()

    def train_on_meta(training: TrainingRun) -> None:
        to_meta(training, monkeypatch)
        with copies:
            train(training)

    steps = []

    def look(guard: NonfiniteGuard) -> None:
        steps.append(len(guard._steps))
        raise LookedError

    monkeypatch.setattr("train.run.train", train_on_meta)
    monkeypatch.setattr("train.loop.NonfiniteGuard.skipped_steps", look)
    objective = {"min_snr_gamma": 5, "timestep_sampling": "stratified", "offset_noise": 0.1}
    path = write(steps=2, batch_size=4, gradient_accumulation=2, log_every=2, objective=objective)
    with pytest.raises(LookedError):
        fine_tune(path)
    assert steps == [2]
    assert copies.waited == []


def test_the_device_tells_of_a_wait(
    write: Callable[..., Path], fine_tune: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def train_on_meta(training: TrainingRun) -> None:
        to_meta(training, monkeypatch)
        train(training)

    monkeypatch.setattr("train.run.train", train_on_meta)
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        fine_tune(write(steps=2, log_every=1))
