"""Processes of a run: the accelerator of each, as the launcher and the configuration set it."""

from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import GradientAccumulationPlugin

from roentgen.errors import InputError
from train.config import RunConfig
from train.engine.deepspeed_zero import ZeroAccelerator, is_deepspeed_launch
from train.engine.fsdp import check_engine, check_sharding


def make_accelerator(config: RunConfig) -> Accelerator:
    """The accelerator of this process. Raises InputError for a batch that cannot be divided."""
    precision = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}[config.precision]
    if precision == "fp16" and not torch.cuda.is_available():
        raise InputError("precision fp16 needs a GPU: choose bf16 or fp32")
    check_engine()  # else accelerate requires its package, or continues without it on a CPU
    slices = config.gradient_accumulation
    settings: dict[str, Any] = {
        # Without it, accelerate does not join torchrun's processes on a machine without a GPU.
        "cpu": not torch.accelerator.is_available(),
        "mixed_precision": precision,
        # Not as a number, which the launcher's environment would override.
        "gradient_accumulation_plugin": GradientAccumulationPlugin(num_steps=slices),
        "log_with": "tensorboard",
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
