"""Optimizer, its parameter groups and state, and the learning-rate schedule."""

import importlib.util
import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from roentgen.diffusion.denoiser import Denoiser
from roentgen.errors import InputError
from train.config_sections import OptimizerConfig
from train.engine.deepspeed_zero import ShardedMoment, entries, has_sharded_state, load_entry
from train.engine.fsdp import copy_into


def check_optimizer(config: OptimizerConfig) -> None:
    """Raises InputError if the package of the optimizer is not installed."""
    if config.name == "adamw8bit" and not importlib.util.find_spec("bitsandbytes"):
        raise InputError(
            "optimizer.name adamw8bit needs a package: pip install -e '.[bitsandbytes]', or choose "
            "adamw or adafactor"
        )


def build_optimizer(
    denoiser: Denoiser, config: OptimizerConfig, rates: Mapping[str, float | None]
) -> Optimizer:
    """The optimizer of all trained weights; each group's `peak` is its peak learning rate.

    `rates` has the peak learning rates of nets, and of layers whose rate differs from their net's;
    None: the net is frozen.
    """
    groups = []
    # Embeddings of tokens, positions and, in some UNets, classes.
    embeddings = {id(m.weight) for m in denoiser.modules() if isinstance(m, nn.Embedding)}
    for net, rate in rates.items():
        if rate is None:
            continue
        weights = [p for name, p in denoiser.trained() if _owner(name, rates) == net]
        decayed = [p for p in weights if p.ndim > 1 and id(p) not in embeddings]
        level = [p for p in weights if p.ndim <= 1 or id(p) in embeddings]
        decays = ((decayed, config.weight_decay), (level, 0.0))
        groups += [
            {"params": params, "lr": rate, "peak": rate, "weight_decay": decay}
            for params, decay in decays
            if params
        ]
    optimizer: Optimizer
    match config.name:
        case "adamw":
            optimizer = torch.optim.AdamW(
                groups, betas=config.betas, eps=config.epsilon, fused=True
            )
        case "adamw8bit":
            from bitsandbytes.optim import AdamW8bit

            # It needs flat memory and would change the layout of weights at its first step. Changed
            # here, the blocks that it quantizes are the same after a restart.
            denoiser.to(memory_format=torch.contiguous_format)
            optimizer = AdamW8bit(groups, betas=config.betas, eps=config.epsilon)
        case "adafactor":
            from transformers import Adafactor

            # Learning rates mean the same as Adam's: scaled by neither weights nor step. torch's
            # Adafactor scales by both and synchronizes twice per weight.
            optimizer = Adafactor(groups, scale_parameter=False, relative_step=False)
    return optimizer


def _owner(weight: str, rates: Iterable[str]) -> str:
    """The longest of the names that is a prefix of a weight's name; "" if none is."""
    return max((name for name in rates if weight.startswith(f"{name}.")), key=len, default="")


def rate_factor(step: int, steps: int, warmup: int, schedule: str) -> float:
    """The learning rate at a step counted from 0, as a share of the peak."""
    if step < warmup:
        return (step + 1) / warmup
    if schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def set_rates(optimizer: Optimizer, factor: float) -> None:
    """Set every group's learning rate to a share of its peak."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor


def optimizer_state(
    denoiser: Denoiser, optimizer: Optimizer
) -> tuple[dict[str, Any], dict[str, float]]:
    """The optimizer's state by `weight:entry`: tensors, and plain numbers."""
    tensors: dict[str, Any] = {}  # or a ShardedMoment
    numbers: dict[str, float] = {}
    for name, parameter in denoiser.trained():
        for entry, value in entries(optimizer, parameter).items():
            if isinstance(value, Tensor | ShardedMoment):
                tensors[f"{name}:{entry}"] = value
            else:
                numbers[f"{name}:{entry}"] = value
    return tensors, numbers


def load_optimizer_state(
    denoiser: Denoiser,
    optimizer: Optimizer,
    tensors: Mapping[str, Tensor],
    numbers: Mapping[str, float],
) -> None:
    """Load a saved state; moments get the layout and device of their weights."""
    parameters = dict(denoiser.trained())
    for key, number in numbers.items():
        name, _, entry = key.rpartition(":")
        optimizer.state[parameters[name]][entry] = number
    for key, tensor in tensors.items():
        name, _, entry = key.rpartition(":")
        parameter = parameters[name]
        if has_sharded_state(parameter):
            load_entry(optimizer, parameter, entry, tensor)
            continue
        if tensor.shape == parameter.shape:
            moment = torch.empty_like(parameter, dtype=tensor.dtype)
            copy_into(moment, tensor)
        else:
            moment = tensor.to(parameter.device, copy=True)
        optimizer.state[parameter][entry] = moment
