"""FSDP2: weights sharded over the processes, gathered and distributed again.

FSDP turns parameters into DTensors; moments and averages made from them are DTensors too. DeepSpeed
partitions only moments; see `train.engine.deepspeed_zero`. Other tensors are the same on all
processes and are passed through.
"""

import os

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.distributed.fsdp import CPUOffloadPolicy, FSDPModule
from torch.distributed.fsdp.wrap import transformer_auto_wrap_policy
from torch.distributed.tensor import DTensor, distribute_tensor

from roentgen.diffusion.denoiser import Denoiser
from roentgen.errors import InputError
from train.config import RunConfig
from train.engine.deepspeed_zero import ShardedMoment, not_shardable, update_master_copy


def is_sharding(accelerator: Accelerator) -> bool:
    """Whether weights will be sharded."""
    return str(accelerator.distributed_type.value) == "FSDP"


def is_flattening(accelerator: Accelerator) -> bool:
    """Whether weights will be flattened for sharding, so that they must be contiguous."""
    return str(accelerator.distributed_type.value) in ("FSDP", "DEEPSPEED")


def check_engine() -> None:
    """Raises InputError if the launcher requests an engine whose state cannot be saved."""
    if os.environ.get("ACCELERATE_USE_MEGATRON_LM", "false").lower() == "true":
        raise InputError(
            "Megatron-LM manages the optimizer's state by itself, so that no run could be resumed "
            "exactly: use configs/accelerate/fsdp.yaml, which shards as much"
        )


def check_sharding(config: RunConfig, accelerator: Accelerator) -> None:
    """Raises InputError if settings of the launcher or the run do not support sharded weights."""
    if not is_sharding(accelerator):
        return
    plugin = accelerator.state.fsdp_plugin
    refused = {
        "fsdp_version 1: set fsdp_version: 2": plugin.fsdp_version != 2,
        "fsdp_offload_params: set it false": isinstance(plugin.cpu_offload, CPUOffloadPolicy),
        "fsdp_cpu_ram_efficient_loading: set it false": plugin.cpu_ram_efficient_loading,
        "fsdp_activation_checkpointing: set gradient_checkpointing=true in its place": (
            plugin.activation_checkpointing
        ),
        **not_shardable(config),
    }
    if wrong := [setting for setting, is_refused in refused.items() if is_refused]:
        raise InputError(f"sharded weights (FSDP) do not go with {'; nor with '.join(wrong)}")


def prepare_sharding(denoiser: Denoiser, accelerator: Accelerator) -> None:
    """Set how accelerate shards, if it does: unit by unit, in float32.

    Precision is left to autocast, as without sharding, or losses would differ.
    """
    if is_sharding(accelerator):
        plugin = accelerator.state.fsdp_plugin
        plugin.auto_wrap_policy = transformer_auto_wrap_policy
        plugin.transformer_cls_names_to_wrap = units(denoiser)
        plugin.mixed_precision_policy = None


def reshard(module: nn.Module) -> None:
    """Free gathered weights, which a forward pass without backward pass may leave."""
    for part in module.modules():
        if isinstance(part, FSDPModule):
            part.reshard()


def gather_full(tensor: Tensor) -> Tensor:
    """The full tensor. All processes must call it for the same tensors in the same order."""
    return tensor.full_tensor() if isinstance(tensor, DTensor | ShardedMoment) else tensor


@torch.no_grad()
def copy_into(target: Tensor, whole: Tensor) -> None:
    """Copy a full tensor, which every process has, into one that may be sharded."""
    if isinstance(target, DTensor):
        whole = distribute_tensor(
            whole.to(target.device), target.device_mesh, target.placements, src_data_rank=None
        )
    target.copy_(whole)
    update_master_copy(target)


def units(denoiser: Denoiser) -> list[str]:
    """The classes of modules that FSDP gathers and frees as one unit.

    They include the nets themselves, which previews call directly.
    """
    nets = (denoiser.unet, denoiser.text_encoder)
    classes = {type(net).__name__ for net in nets}
    for net in nets:
        classes.update(getattr(net, "_no_split_modules", None) or [])
    return sorted(classes & {type(module).__name__ for module in denoiser.modules()})


@torch.no_grad()
def unshard(denoiser: Denoiser, *, keep: bool) -> None:
    """Undo FSDP after training: full weights on the CPU, in modules of the original classes.

    All processes must call it; those without `keep` are left with their shards.
    """
    for module in list(denoiser.modules()):
        for name, parameter in list(module.named_parameters(recurse=False)):
            whole = gather_full(parameter.detach())
            if keep and isinstance(parameter, DTensor):
                setattr(module, name, nn.Parameter(whole.cpu(), parameter.requires_grad))
        if keep and isinstance(module, FSDPModule):
            # fully_shard created a class for it, from FSDPModule and the original one.
            module.__class__ = type(module).__mro__[2]
