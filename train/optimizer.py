"""The optimizer, its groups, and the learning rate as a function of the step."""

import math

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from train.config import LearningRates, OptimizerConfig
from train.denoiser import Denoiser


def build_optimizer(denoiser: Denoiser, config: OptimizerConfig, rates: LearningRates) -> Optimizer:
    """The optimizer over all trained weights; each group's `peak` is its full learning rate."""
    groups = []
    # Of tokens, positions and, where a UNet has them, classes.
    embeddings = {id(m.weight) for m in denoiser.modules() if isinstance(m, nn.Embedding)}
    for net, rate in (("unet", rates.unet), ("text_encoder", rates.text_encoder)):
        if rate is None:
            continue
        weights = [p for name, p in denoiser.trained() if name.startswith(f"{net}.")]
        decayed = [p for p in weights if p.ndim > 1 and id(p) not in embeddings]
        level = [p for p in weights if p.ndim <= 1 or id(p) in embeddings]
        decays = ((decayed, config.weight_decay), (level, 0.0))
        groups += [
            {"params": params, "lr": rate, "peak": rate, "weight_decay": decay}
            for params, decay in decays
        ]
    match config.name:
        case "adamw":
            return torch.optim.AdamW(groups, betas=config.betas, eps=config.epsilon, fused=True)
        case "adafactor":
            from transformers import Adafactor

            # As Adam in its learning rate: neither scaled by the weights nor by the step.
            optimizer: Optimizer = Adafactor(groups, scale_parameter=False, relative_step=False)
            return optimizer


def rate_factor(step: int, steps: int, warmup: int, schedule: str) -> float:
    """The share of the peak learning rate at a step counted from 0."""
    if step < warmup:
        return (step + 1) / warmup
    if schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def set_rates(optimizer: Optimizer, factor: float) -> None:
    """Set every group's learning rate to this share of its peak."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor


def optimizer_state(
    denoiser: Denoiser, optimizer: Optimizer
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """The state by `weight:entry`: the tensors, and the plain numbers."""
    tensors, numbers = {}, {}
    for name, parameter in denoiser.trained():
        for entry, value in optimizer.state[parameter].items():
            if isinstance(value, Tensor):
                tensors[f"{name}:{entry}"] = value
            else:
                numbers[f"{name}:{entry}"] = value
    return tensors, numbers


def load_optimizer_state(
    denoiser: Denoiser,
    optimizer: Optimizer,
    tensors: dict[str, Tensor],
    numbers: dict[str, float],
) -> None:
    """Take up a saved state; moments take the layout and device of their weights."""
    parameters = dict(denoiser.trained())
    for key, number in numbers.items():
        name, _, entry = key.rpartition(":")
        optimizer.state[parameters[name]][entry] = number
    for key, tensor in tensors.items():
        name, _, entry = key.rpartition(":")
        parameter = parameters[name]
        if tensor.shape == parameter.shape:
            tensor = torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)
        optimizer.state[parameter][entry] = tensor.to(parameter.device, copy=True)
