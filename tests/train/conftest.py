"""Runs of a few steps on the small model and the small dataset."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from accelerate.state import AcceleratorState
from PIL import Image
from safetensors.torch import load_file

from roentgen.config import load_config
from train.config import FinetuneConfig
from train.finetuning import finetune
from train.loading.batches import Examples

SPOILT = 7  # an item whose latents are NaN: its steps are skipped
SPOILING = f"""
import math
from train.loading.batches import Examples
from train.finetune import main

batch = Examples.batch

def spoilt(self, draws, *rest):
    made = batch(self, draws, *rest)
    made.latents[draws.items == {SPOILT}] = math.nan
    return made

Examples.batch = spoilt
main()
"""


@pytest.fixture
def write(tmp_path: Path, small_model: Path, small_dataset: Path) -> Callable[..., Path]:
    """Writes a config file: `write(steps=4)`; its run folder is `run` beside it."""

    def write_config(**changes: Any) -> Path:
        settings: dict[str, Any] = {
            "base": str(small_model),
            "data": {"folder": str(small_dataset)},
            "output": str(tmp_path / "run"),
            "steps": 2,
            "batch_size": 4,
            "learning_rate": {"unet": 1e-3, "text_encoder": 1e-3},
            "validation": {"images": 4},
            "log_every": 1,
        }
        path = tmp_path / f"config{len(list(tmp_path.glob('*.yaml')))}.yaml"
        path.write_text(yaml.safe_dump(settings | changes))
        return path

    return write_config


class Run:
    """A run folder, read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def lines(self, name: str) -> list[dict[str, Any]]:
        """The lines of the log that tell `name`."""
        lines = map(json.loads, (self.folder / "metrics.jsonl").read_text().splitlines())
        return [line for line in lines if name in line]

    def metrics(self, name: str) -> list[Any]:
        """What the log tells of `name`, step by step."""
        return [line[name] for line in self.lines(name)]

    def checkpoint(self, step: int) -> dict[str, torch.Tensor]:
        """All tensors of a checkpoint by `file:name`."""
        path = self.folder / "checkpoints" / f"step-{step:08d}"
        return {
            f"{file.stem}:{name}": tensor
            for file in path.glob("*.safetensors")
            for name, tensor in load_file(file).items()
        }


@pytest.fixture
def fine_tune() -> Callable[..., Run]:
    """Fine-tunes in this process: `fine_tune(config_file, "--steps=3")`."""

    def run(path: Path, *overrides: str) -> Run:
        AcceleratorState._reset_state(reset_partial_state=True)
        config = load_config(FinetuneConfig, [str(path), *overrides])
        finetune(config)
        return Run(config.output)

    return run


@pytest.fixture
def eventful(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The config of a run with all that a loop does; an item spoils its steps."""
    batch = Examples.batch

    def spoilt(self: Examples, draws: Any, *rest: Any) -> Any:
        made = batch(self, draws, *rest)
        made.latents[torch.from_numpy(draws.items == SPOILT)] = math.nan
        return made

    monkeypatch.setattr(Examples, "batch", spoilt)
    return write(
        steps=6,
        batch_size=4,
        gradient_accumulation=2,
        gradient_checkpointing=True,
        ema={"decay": 0.9, "posthoc": {"every": 3}},
        checkpoint={"every": 2, "keep": 9},
        validation={"images": 3, "every": 2},  # of two processes, one has two of them
        preview={"prompts": ["<view-pa> cardiomegaly"], "every": 3, "count": 1, "steps": 2},
    )


@pytest.fixture
def spoilt_program(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a program of these first lines that spoils the item too, and fine-tunes."""

    def write_program(first: str) -> Path:
        program = tmp_path / "program.py"
        program.write_text(first + SPOILING)
        return program

    return write_program


@pytest.fixture
def agree() -> Callable[[Run, Run], None]:
    """Compares all that two run folders hold of the same eventful training."""

    def near(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
        # Equal but for a tenth of what a step changes: Adam makes much of the smallest gradients.
        assert one.keys() == other.keys()
        for name, tensor in one.items():
            torch.testing.assert_close(other[name], tensor, rtol=0, atol=1e-4, msg=name)

    def compare(one: Run, other: Run) -> None:
        assert one.lines("skipped")
        assert len(one.metrics("loss")) > 3
        for name in ("loss", "gradient_norm", "held_out_loss", "held_out_loss_ema"):
            assert other.metrics(name) == pytest.approx(one.metrics(name), rel=1e-5)
        assert other.lines("skipped") == one.lines("skipped")
        for file in ("unet", "text_encoder"):
            (path,) = (one.folder / "model" / file).glob("*.safetensors")
            near(load_file(path), load_file(other.folder / path.relative_to(one.folder)))
        near(one.checkpoint(6), other.checkpoint(6))
        for path in (one.folder / "previews").iterdir():
            first, second = (
                np.array(Image.open(run.folder / "previews" / path.name)).astype(int)
                for run in (one, other)
            )
            assert abs(first - second).max() <= 1

    return compare


@pytest.fixture
def copied() -> Callable[[Path, str], Path]:
    """Copies an eventful run as it was after step 4."""

    def copy_run(folder: Path, name: str) -> Path:
        copy = folder.with_name(name)
        shutil.copytree(folder, copy)
        shutil.rmtree(copy / "checkpoints" / "step-00000006")
        shutil.rmtree(copy / "model")
        return copy

    return copy_run
