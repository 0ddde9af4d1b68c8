"""Runs of a few steps on the small model and the small dataset."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

from roentgen.config import load_config
from train.config import FinetuneConfig
from train.finetune import finetune


@pytest.fixture
def write(tmp_path: Path, small_model: Path, small_dataset: Path) -> Callable[..., Path]:
    """Writes a config file: `write(steps=4)`; its run folder is `run` beside it."""

    def write_config(**changes: Any) -> Path:
        settings: dict[str, Any] = {
            "base": str(small_model),
            "data": {"folder": str(small_dataset)},
            "output": str(tmp_path / "run"),
            "steps": 2,
            "batch": 4,
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
