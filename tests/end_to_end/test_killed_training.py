"""Killed at random moments and resumed each time, training ends in the same bits."""

import json
import multiprocessing
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from train.config import FinetuneConfig
from train.config_sections import (
    CheckpointConfig,
    DataConfig,
    EmaConfig,
    LearningRates,
    PosthocConfig,
    ValidationConfig,
)
from train.finetuning import finetune

# Each run is a process of its own, forked from one that has imported everything, so it starts at
# once. A kill takes all of it.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["train.finetuning"])

SLOW = ["encoding"] * 3 + ["step", "saving", "step"] * 5 + ["step", "model"]


@pytest.fixture
def config(tmp_path: Path, small_model: Path, small_dataset: Path) -> FinetuneConfig:
    """Both nets with all averages, saved every five steps. Resumed from the first start on."""
    return FinetuneConfig(
        base=str(small_model),
        data=DataConfig(folder=small_dataset),
        output=tmp_path / "run",
        steps=30,
        batch_size=4,
        learning_rate=LearningRates(unet=1e-3, text_encoder=1e-3),
        ema=EmaConfig(decay=0.9, posthoc=PosthocConfig(every=10)),
        checkpoint=CheckpointConfig(every=5, keep=1),
        validation=ValidationConfig(every=8, images=4),
        log_every=1,
        resume=True,
    )


def start(config: FinetuneConfig) -> BaseProcess:
    process = CONTEXT.Process(target=finetune, args=(config,))
    process.start()
    return process


def lines(folder: Path) -> list[dict[str, Any]]:
    """The whole lines of the log."""
    path = folder / "metrics.jsonl"
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.split("\n")[:-1]]


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    """Every tensor of checkpoints, snapshots of averages and the model, by file and name."""
    return {
        f"{path.relative_to(folder)}:{name}": tensor
        for path in sorted(folder.rglob("*.safetensors"))
        for name, tensor in load_file(path).items()
    }


def pause(process: BaseProcess, over: Callable[[], object]) -> None:
    """Wait until something is so, or the process has ended."""
    while process.is_alive() and not over():
        time.sleep(0.001)


def kill(config: FinetuneConfig, what: str, step: int, late: float) -> str:
    """Start a run and kill it: where it was then.

    It is killed so many seconds after it began to encode images, took this step, began the next
    checkpoint after it, or began to write the model.
    """
    folder = config.output
    log = folder / "metrics.jsonl"
    before = log.stat().st_ino if log.exists() else None
    process = start(config)

    def begun() -> bool:
        return log.exists() and log.stat().st_ino != before

    if what == "encoding":
        pause(process, (folder / "caches").exists)
    else:
        pause(process, begun)
        pause(process, lambda: any(line["step"] >= step for line in lines(folder)))
    if what == "saving":
        pause(process, lambda: list(folder.glob("checkpoints/.*")))
    if what == "model":
        pause(process, lambda: list(folder.glob(".model*")))
    time.sleep(late)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL  # it was alive
    if not begun():
        return "encoding"
    halves = {"checkpoints/.*": "saving", "averages/.*": "saving", ".model*": "model"}
    half = next((where for pattern, where in halves.items() if list(folder.glob(pattern))), None)
    return half or f"after step {lines(folder)[-1]['step']}"


def moments(kinds: list[str], steps: int) -> list[tuple[str, int, float]]:
    """What each kill waits for, a step from its own share of the run, and seconds after it."""
    chance = random.Random(0)
    spans = {"encoding": 0.3, "step": 0.15, "saving": 0.05, "model": 0.1}
    taken = [
        (kind, 1 + int(steps * 0.9 * (number + chance.random()) / len(kinds)))
        for number, kind in enumerate(kinds)
    ]
    return [(kind, step, spans[kind] * chance.random()) for kind, step in taken]


@pytest.mark.parametrize(
    "kinds", [["step"], pytest.param(SLOW, marks=pytest.mark.slow)], ids=["once", "20 times"]
)
def test_killed_and_resumed_it_ends_in_the_same_bits(
    config: FinetuneConfig, kinds: list[str], tmp_path: Path
) -> None:
    whole = replace(config, output=tmp_path / "whole")
    process = start(whole)
    process.join()
    assert process.exitcode == 0

    places = [kill(config, *moment) for moment in moments(kinds, config.steps)]
    print("killed:", ", ".join(places))
    counts = Counter(place.rpartition(" ")[0] or place for place in places)
    # A kill meant for a step may meet a checkpoint being written.
    assert counts["after step"] + counts["saving"] >= kinds.count("step") + kinds.count("saving")
    assert counts["after step"] >= kinds.count("step") // 3
    assert counts["saving"] >= kinds.count("saving") // 3
    process = start(config)
    process.join()
    assert process.exitcode == 0

    assert list(config.output.rglob(".*")) == []  # nothing half written is left
    one, other = tensors(whole.output), tensors(config.output)
    assert {name.split(":")[0] for name in one} >= {
        f"checkpoints/step-00000030/{part}.safetensors" for part in ("weights", "ema", "optimizer")
    }
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []
    for name in ("loss", "gradient_norm", "held_out_loss", "held_out_loss_ema"):
        told = [
            [(line["step"], line[name]) for line in lines(run.output) if name in line]
            for run in (whole, config)
        ]
        assert told[0] == told[1]
        assert told[0]
