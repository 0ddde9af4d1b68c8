"""Weights that lie in shards over the processes, by FSDP2: whole ones out of them, and back.

FSDP makes DTensors of the parameters; moments and averages made from these are DTensors too. What
is no DTensor is the same on all processes and passes through unchanged.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor, distribute_tensor

if TYPE_CHECKING:
    from train.denoiser import Denoiser


def full(tensor: Tensor) -> Tensor:
    """The whole of a tensor. All processes must call it for the same tensors in the same order."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


@torch.no_grad()
def copy_into(target: Tensor, whole: Tensor) -> None:
    """Give a tensor, sharded or not, the values of a whole one, which every process has."""
    if isinstance(target, DTensor):
        whole = distribute_tensor(
            whole.to(target.device), target.device_mesh, target.placements, src_data_rank=None
        )
    target.copy_(whole)


def units(denoiser: "Denoiser") -> list[str]:
    """The classes of modules that FSDP gathers and frees as one.

    The nets themselves are among them: previews call these alone.
    """
    nets = (denoiser.unet, denoiser.text_encoder)
    wanted = {type(net).__name__ for net in nets}
    for net in nets:
        wanted.update(getattr(net, "_no_split_modules", None) or [])
    return sorted(wanted & {type(module).__name__ for module in denoiser.modules()})


@torch.no_grad()
def unshard(denoiser: "Denoiser", *, keep: bool) -> None:
    """Undo FSDP when training is done: whole weights on the CPU, in modules of their own classes.

    All processes must call it; those that do not `keep` the weights are left with their shards.
    """
    for module in list(denoiser.modules()):
        for name, parameter in list(module.named_parameters(recurse=False)):
            whole = full(parameter.detach())
            if keep and isinstance(parameter, DTensor):
                setattr(module, name, nn.Parameter(whole.cpu(), parameter.requires_grad))
        if keep and isinstance(module, FSDPModule):
            # fully_shard gave it a class of its own, made of FSDPModule and the true one.
            module.__class__ = type(module).__mro__[2]
