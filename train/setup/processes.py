"""Processes of a run: the accelerator of each, as the launcher and the configuration set it."""

import importlib.util
from dataclasses import replace
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from accelerate.utils import GradientAccumulationPlugin

from roentgen.cpu.bfloat16 import computes_bfloat16
from roentgen.distributed import this_launch
from roentgen.errors import InputError
from train.config import RunConfig
from train.config_sections import Tracker
from train.engine.deepspeed_zero import ZeroAccelerator, is_deepspeed_launch
from train.engine.fsdp import check_engine, check_sharding

C = TypeVar("C", bound=RunConfig)


def with_precision(config: C) -> C:
    """The configuration with what precision `auto` is on this process's device."""
    if config.precision != "auto":
        return config
    fast = computes_bfloat16(this_launch().device())
    return replace(config, precision="bf16" if fast else "fp32")


def make_accelerator(config: RunConfig) -> Accelerator:
    """The accelerator of this process, of a configuration `with_precision`.

    Raises InputError for a batch that cannot be divided.
    """
    precision = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}[config.precision]
    if precision == "fp16" and not torch.cuda.is_available():
        raise InputError("precision fp16 needs a GPU: choose bf16 or fp32")
    check_tracker(config.tracker)
    check_engine()  # else accelerate requires its package, or continues without it on a CPU
    slices = config.gradient_accumulation
    settings: dict[str, Any] = {
        # Without it, accelerate does not join torchrun's processes on a machine without a GPU.
        "cpu": not torch.accelerator.is_available(),
        "mixed_precision": precision,
        # Not as a number, which the launcher's environment would override.
        "gradient_accumulation_plugin": GradientAccumulationPlugin(num_steps=slices),
        "log_with": config.tracker,
        "project_dir": config.output,
    }
    accelerator = (
        ZeroAccelerator(config, **settings) if is_deepspeed_launch() else Accelerator(**settings)
    )
    check_sharding(config, accelerator)
    shares = accelerator.num_processes * slices
    if config.batch_size % shares:
        raise InputError(
            f"batch_size {config.batch_size} cannot be divided equally among "
            f"{accelerator.num_processes} processes with gradient_accumulation {slices}: choose a "
            f"multiple of {shares}"
        )
    return accelerator


def check_tracker(name: Tracker | None) -> None:
    """Raises InputError where the tracker's package, which has its name, is not installed."""
    if name is not None and importlib.util.find_spec(name) is None:
        raise InputError(
            f"tracker {name!r} is not installed: pip install {name.replace('_', '-')}, or choose "
            "tensorboard or null"
        )
