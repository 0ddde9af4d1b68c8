"""Weights in shards over two processes (FSDP2) train as whole ones, and checkpoints serve both."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
# Accelerate would shard on GPUs alone.
SHARDING = """
from accelerate import DistributedType, FullyShardedDataParallelPlugin
from accelerate.state import AcceleratorState, PartialState
from train import finetune

make = finetune.Accelerator

def sharding(**settings):
    accelerator = make(**settings)
    accelerator.state.fsdp_plugin = FullyShardedDataParallelPlugin()
    for state in (AcceleratorState(), PartialState()):
        state.distributed_type = DistributedType.FSDP
    return accelerator

finetune.Accelerator = sharding
"""


@pytest.fixture
def shard(spoilt_program: Callable[[str], Path]) -> Callable[..., None]:
    """Fine-tunes with shards on two processes."""
    program = spoilt_program(SHARDING)

    def launch(path: Path, *overrides: str, **settings: str) -> None:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += ["--nproc_per_node=2", str(program), str(path), *overrides]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        environment |= {"FSDP_VERSION": "2"} | settings
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr[-3000:]

    return launch


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers 0.42
@pytest.mark.parametrize("reshard", ["true", "false"])
def test_shards_train_as_the_whole_and_each_resumes_from_the_other(
    eventful: Path,
    fine_tune: Callable[..., Any],
    shard: Callable[..., None],
    agree: Callable[[Any, Any], None],
    copied: Callable[[Path, str], Path],
    tmp_path: Path,
    reshard: str,
) -> None:
    one, two = fine_tune(eventful, f"--output={tmp_path / 'one'}"), tmp_path / "two"
    reads = type(one)
    settings = {"FSDP_RESHARD_AFTER_FORWARD": reshard}
    shard(eventful, f"--output={two}", **settings)
    agree(one, reads(two))
    if reshard == "true":
        gathered = copied(two, "gathered")
        agree(one, fine_tune(eventful, f"--output={gathered}", "--resume=true"))
        spread = copied(one.folder, "spread")
        shard(eventful, f"--output={spread}", "--resume=true", **settings)
        agree(one, reads(spread))
