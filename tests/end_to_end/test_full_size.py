"""Stable Diffusion 1.5's architecture with random weights at 512 px: memory, saving, resuming."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import yaml

from roentgen.diffusion.components import Components

ROOT = Path(__file__).parents[2]
Run = Callable[..., "Told"]


class Told(NamedTuple):
    """What a run said."""

    lines: list[dict[str, float]]  # of its log
    start: float  # seconds until its first step began


@pytest.fixture(scope="module")
def base(
    tmp_path_factory: pytest.TempPathFactory,
    save_full_size: Callable[[Path], Components],
    make_small_dataset: Callable[..., Path],
) -> Path:
    """A folder with the model and a dataset of two images."""
    folder = tmp_path_factory.mktemp("full size")
    components = save_full_size(folder / "model")
    parameters = sum(weight.numel() for weight in components.unet.parameters()) / 1e6
    assert parameters == pytest.approx(859.5, abs=0.1)
    make_small_dataset(folder / "data", train=2, size=512)
    return folder


@pytest.fixture
def run(base: Path, tmp_path: Path) -> Run:
    """Fine-tune in a process of its own, within so many bytes."""

    def fine_tune(most: float, *overrides: str, **changes: Any) -> Told:
        settings = {
            "base": str(base / "model"),
            "data": {"folder": str(base / "data"), "caches": str(base / "caches")},
            "output": str(tmp_path / "run"),
            "steps": 2,
            "batch_size": 1,
            "ema": None,
            "gradient_checkpointing": True,
            "validation": None,
            "log_every": 1,
        }
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(settings | changes))
        command = [sys.executable, "-m", "train.finetune", str(path), *overrides]
        began = time.monotonic()
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert process.stdout is not None
        told, start = b"", 0.0
        with process.stdout:
            while piece := os.read(process.stdout.fileno(), 65536):
                told += piece
                if not start and b"step/s]" in told:  # the bar of training
                    start = time.monotonic() - began
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, told[-3000:].decode()
        peak = used.ru_maxrss * 1024
        text = (tmp_path / "run" / "metrics.jsonl").read_text()
        print(f"peak {peak / 1e9:.2f} GB; first step after {start:.0f} s; {text}")
        assert peak < most
        return Told([json.loads(line) for line in text.splitlines()], start)

    return fine_tune


@pytest.mark.slow
def test_both_nets_with_adamw_within_18_gb_and_saved_as_fast_as_the_disk(
    run: Run, tmp_path: Path
) -> None:
    settings = {"optimizer": {"name": "adamw"}, "checkpoint": {"every": 1, "keep": 2}}
    lines = run(18e9, **settings).lines
    assert {line["step"] for line in lines} == {1, 2}
    folder = tmp_path / "run" / "checkpoints" / "step-00000002"
    size = sum(file.stat().st_size for file in folder.iterdir())
    saving = min(line["save_seconds"] for line in lines if "save_seconds" in line)
    plain = seconds_to_write(tmp_path / "plain", size)
    print(f"{size / 1e9:.1f} GB saved in {saving:.1f} s; written plainly in {plain:.1f} s")
    assert saving < 1.5 * plain

    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(
        tmp_path / "run" / "model", dtype=torch.bfloat16, local_files_only=True
    )
    assert pipeline.tokenizer("<view-pa>").input_ids == [49406, 49408, 49407]

    shutil.rmtree(folder)
    resumed = run(18e9, "--resume=true", **settings)
    assert resumed.start < 60
    assert [line["loss"] for line in resumed.lines if "loss" in line] == pytest.approx(
        [line["loss"] for line in lines if "loss" in line], rel=1e-6
    )


@pytest.mark.slow
def test_lora_within_9_gb(run: Run) -> None:
    told = run(9e9, lora={"rank": 32, "alpha": 32.0})
    assert {line["step"] for line in told.lines} == {1, 2}


def seconds_to_write(path: Path, size: int) -> float:
    """Of so many bytes, flushed to the disk."""
    block = os.urandom(2**26)
    began = time.monotonic()
    with path.open("wb") as file:
        for _ in range(0, size, len(block)):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    path.unlink()
    return time.monotonic() - began
