"""The launch files of configs/accelerate/, as accelerate itself reads them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from accelerate import DistributedType, FullyShardedDataParallelPlugin
from accelerate.commands import launch
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.utils.launch import (
    prepare_deepspeed_cmd_env,
    prepare_multi_gpu_env,
)

from roentgen.config import load_config
from roentgen.errors import InputError
from train.config import ControlnetConfig, FinetuneConfig
from train.engine.fsdp import check_sharding
from train.setup.processes import make_accelerator

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "configs" / "accelerate"
KINDS = {
    "multi_gpu": DistributedType.MULTI_GPU,
    "multi_node": DistributedType.MULTI_GPU,
    "fsdp": DistributedType.FSDP,
    "deepspeed": DistributedType.DEEPSPEED,
}


def environment(name: str) -> dict[str, str]:
    """What `accelerate launch --config_file` tells the processes that it starts."""
    where = ["--main_process_port=0"]  # any that is free
    if name == "multi_node":
        where = ["--machine_rank=1", "--main_process_ip=first", "--main_process_port=29500"]
    command = [*where, "--config_file", str(FOLDER / f"{name}.yaml"), "-m", "train.finetune"]
    arguments = launch.launch_command_parser().parse_args(command)
    arguments, _, _ = launch._validate_launch_command(arguments)
    if KINDS[name] == DistributedType.DEEPSPEED:
        arguments.deepspeed_fields_from_accelerate_config = ""  # as launch_command() sets it
        _, told = prepare_deepspeed_cmd_env(arguments)
    else:
        told = prepare_multi_gpu_env(arguments)
    assert arguments.nproc_per_node == "8"
    return dict(told)


def test_no_launch_file_is_forgotten() -> None:
    assert {path.stem for path in FOLDER.glob("*.yaml")} == set(KINDS)


@pytest.mark.parametrize("name", KINDS)
def test_accelerate_takes_a_launch_file(name: str) -> None:
    assert load_config_from_file(str(FOLDER / f"{name}.yaml")).distributed_type == KINDS[name]
    told = environment(name)
    assert told["ACCELERATE_MIXED_PRECISION"] == "no"
    assert (told.get("ACCELERATE_USE_FSDP") == "true") == (name == "fsdp")
    assert (told.get("ACCELERATE_USE_DEEPSPEED") == "true") == (name == "deepspeed")
    assert told.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2") == "2"


@pytest.fixture
def config(write: Callable[..., Path]) -> Callable[..., FinetuneConfig]:
    return lambda *overrides: load_config(FinetuneConfig, [str(write()), *overrides])


def accelerator(kind: DistributedType, plugin: FullyShardedDataParallelPlugin | None = None) -> Any:
    return SimpleNamespace(distributed_type=kind, state=SimpleNamespace(fsdp_plugin=plugin))


def test_the_sharding_file_asks_for_what_is_supported(
    config: Callable[..., FinetuneConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment("fsdp").items():
        monkeypatch.setenv(name, value)
    plugin = FullyShardedDataParallelPlugin()
    assert (plugin.fsdp_version, plugin.reshard_after_forward) == (2, True)
    check_sharding(config(), accelerator(DistributedType.FSDP, plugin))


@pytest.mark.parametrize(
    ("settings", "overrides", "told"),
    [
        ({"fsdp_version": 1}, [], "fsdp_version 1: set fsdp_version: 2"),
        ({"cpu_offload": True}, [], "fsdp_offload_params: set it false"),
        ({"cpu_ram_efficient_loading": True}, [], "fsdp_cpu_ram_efficient_loading: set it false"),
        ({"activation_checkpointing": True}, [], "set gradient_checkpointing=true"),
        ({}, ["--lora={rank: 4}"], "lora: use configs/accelerate/multi_gpu.yaml"),
        ({}, ["--optimizer.name=adafactor"], "optimizer.name adafactor: choose adamw"),
        ({}, ["--precision=fp16"], "precision fp16: choose bf16 or fp32"),
        ({}, ["--compile=true"], "compile: set it false"),
    ],
)
def test_what_cannot_be_sharded_is_refused(
    config: Callable[..., FinetuneConfig],
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, Any],
    overrides: list[str],
    told: str,
) -> None:
    monkeypatch.setenv("FSDP_CPU_RAM_EFFICIENT_LOADING", "false")  # the plugin sets it
    plugin = FullyShardedDataParallelPlugin(**{"fsdp_version": 2} | settings)
    with pytest.raises(InputError, match=r"^sharded weights \(FSDP\) do not go with ") as error:
        check_sharding(config(*overrides), accelerator(DistributedType.FSDP, plugin))
    assert told in str(error.value)
    assert "nor with" not in str(error.value)


def test_a_controlnet_is_not_sharded(
    config: Callable[..., FinetuneConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FSDP_CPU_RAM_EFFICIENT_LOADING", "false")
    tuned = config()
    masks = ControlnetConfig(
        base=tuned.base,
        data=tuned.data,
        output=tuned.output,
        steps=tuned.steps,
        batch_size=tuned.batch_size,
        structures=("lungs",),
    )
    plugin = FullyShardedDataParallelPlugin(fsdp_version=2)
    with pytest.raises(InputError, match=r"a ControlNet: use configs/accelerate/multi_gpu.yaml"):
        check_sharding(masks, accelerator(DistributedType.FSDP, plugin))


def test_engines_of_their_own_are_refused(
    config: Callable[..., FinetuneConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELERATE_USE_MEGATRON_LM", "true")  # as accelerate launch says it
    with pytest.raises(InputError, match=r"^Megatron-LM .* use configs/accelerate/fsdp\.yaml"):
        make_accelerator(config())


# Stand-ins for SLURM's programs: one machine of two "GPUs".
SRUN = """#!/usr/bin/env bash
while [[ $1 == --* ]]; do shift; done
SLURM_NODEID=0 "$@" &
trap "kill -USR1 $!" USR1
wait $!; code=$?
while kill -0 $! 2>/dev/null; do wait $!; code=$?; done
exit $code
"""
SCONTROL = """#!/usr/bin/env bash
[[ $1 == show ]] && echo localhost || echo "$@" >> "$TOLD"
"""


@pytest.mark.slow
def test_a_batch_job_is_queued_again_when_stopped_and_goes_on(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    programs, told, folder = tmp_path / "bin", tmp_path / "told", tmp_path / "run"
    programs.mkdir()
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    slurm = {"NNODES": "1", "GPUS_PER_NODE": "cpu:2", "JOB_ID": "17", "JOB_NODELIST": "localhost"}
    settings = os.environ | {f"SLURM_{name}": value for name, value in slurm.items()}
    settings |= {"PATH": path, "TOLD": str(told), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    settings["LAUNCH"] = str(FOLDER / "multi_gpu.yaml")
    script = [str(FOLDER / "slurm.sbatch"), str(write(steps=60, validation=None))]

    def submit() -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen(
            ["bash", *script], env=settings, cwd=tmp_path, stderr=pipe, text=True
        )

    job = submit()
    while not (folder / "metrics.jsonl").exists():
        assert job.poll() is None, job.communicate()[1][-3000:]
        time.sleep(0.2)
    job.send_signal(signal.SIGUSR1)
    _, errors = job.communicate(timeout=120)
    assert job.returncode == 1, errors[-3000:]
    assert told.read_text() == "requeue 17\n"
    stopped = json.loads((folder / "stopped.json").read_text())["step"]
    assert 0 < stopped < 60

    job = submit()
    _, errors = job.communicate(timeout=300)
    assert job.returncode == 0, errors[-3000:]
    assert told.read_text() == "requeue 17\n"  # not once more
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    steps = [line["step"] for line in lines if "loss" in line]
    assert steps == list(range(1, 61))
    assert (folder / "model").is_dir()
