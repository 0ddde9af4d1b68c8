"""Weights in shards over two processes (FSDP2) train as whole ones, and checkpoints serve both."""

import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from train.examples import Examples

ROOT = Path(__file__).parents[2]
SPOILT = 7  # an item whose latents are NaN: its steps are left out
# Fine-tunes as the program does. Accelerate would shard on GPUs alone.
PROGRAM = f"""
import math
from accelerate import DistributedType, FullyShardedDataParallelPlugin
from accelerate.state import AcceleratorState, PartialState
from train import finetune
from train.examples import Examples

make, batch = finetune.Accelerator, Examples.batch

def sharding(**settings):
    accelerator = make(**settings)
    accelerator.state.fsdp_plugin = FullyShardedDataParallelPlugin()
    for state in (AcceleratorState(), PartialState()):
        state.distributed_type = DistributedType.FSDP
    return accelerator

def spoilt(self, draws, *rest):
    made = batch(self, draws, *rest)
    made.latents[draws.items == {SPOILT}] = math.nan
    return made

finetune.Accelerator, Examples.batch = sharding, spoilt
finetune.main()
"""


@pytest.fixture
def shard(tmp_path: Path) -> Callable[..., None]:
    """Fine-tunes with shards on two processes."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)

    def launch(path: Path, *overrides: str, **settings: str) -> None:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += ["--nproc_per_node=2", str(program), str(path), *overrides]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        environment |= {"FSDP_VERSION": "2"} | settings
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr[-3000:]

    return launch


def spoil(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = Examples.batch

    def spoilt(self: Examples, draws: Any, *rest: Any) -> Any:
        made = batch(self, draws, *rest)
        made.latents[torch.from_numpy(draws.items == SPOILT)] = math.nan
        return made

    monkeypatch.setattr(Examples, "batch", spoilt)


def agree(one: Any, other: Any) -> None:
    """All that two run folders hold of the same training."""
    for name in ("loss", "gradient_norm", "held_out_loss", "held_out_loss_ema"):
        assert other.metrics(name) == pytest.approx(one.metrics(name), rel=1e-5)
    assert other.lines("skipped") == one.lines("skipped")
    for file in ("unet", "text_encoder"):
        (path,) = (one.folder / "model" / file).glob("*.safetensors")
        near(load_file(path), load_file(other.folder / path.relative_to(one.folder)))
    near(one.checkpoint(6), other.checkpoint(6))
    for path in (one.folder / "previews").iterdir():
        pictures = (
            np.array(Image.open(run.folder / "previews" / path.name)) for run in (one, other)
        )
        first, second = (picture.astype(int) for picture in pictures)
        assert abs(first - second).max() <= 1


def near(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    """Equal but for a tenth of what one step changes: Adam makes much of the smallest gradients."""
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(other[name], tensor, rtol=0, atol=1e-4, msg=name)


def copied(folder: Path, name: str) -> Path:
    """A run as it was after step 4."""
    copy = folder.with_name(name)
    shutil.copytree(folder, copy)
    shutil.rmtree(copy / "checkpoints" / "step-00000006")
    shutil.rmtree(copy / "model")
    return copy


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers 0.42
@pytest.mark.parametrize("reshard", ["true", "false"])
def test_shards_train_as_the_whole_and_each_resumes_from_the_other(
    write: Callable[..., Path],
    fine_tune: Callable[..., Any],
    shard: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    reshard: str,
) -> None:
    path = write(
        steps=6,
        batch=4,
        accumulation=2,
        gradient_checkpointing=True,
        ema={"decay": 0.9, "posthoc": {"every": 3}},
        checkpoint={"every": 2, "keep": 9},
        validation={"images": 3, "every": 2},  # one process has two of them, the other one
        preview={"prompts": ["<view-pa> cardiomegaly"], "every": 3, "count": 1, "steps": 2},
    )
    spoil(monkeypatch)
    one, two = fine_tune(path, f"--output={tmp_path / 'one'}"), tmp_path / "two"
    assert one.lines("skipped")
    assert len(one.metrics("loss")) > 3
    reads = type(one)
    settings = {"FSDP_RESHARD_AFTER_FORWARD": reshard}
    shard(path, f"--output={two}", **settings)
    agree(one, reads(two))
    if reshard == "true":
        gathered = copied(two, "gathered")
        agree(one, fine_tune(path, f"--output={gathered}", "--resume=true"))
        spread = copied(one.folder, "spread")
        shard(path, f"--output={spread}", "--resume=true", **settings)
        agree(one, reads(spread))
