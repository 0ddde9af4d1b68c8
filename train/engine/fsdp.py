"""Weights that lie in shards over the processes, by FSDP2: whole ones out of them, and back.

FSDP makes DTensors of the parameters; moments and averages made from these are DTensors too.
DeepSpeed cuts up moments alone; see `train.engine.deepspeed_zero`. What is neither is the same on
all processes and passes through unchanged.
"""

import os
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import CPUOffloadPolicy, FSDPModule
from torch.distributed.fsdp.wrap import transformer_auto_wrap_policy
from torch.distributed.tensor import DTensor, distribute_tensor

from roentgen.diffusion.denoiser import Denoiser
from roentgen.errors import InputError
from train.config import RunConfig
from train.engine.deepspeed_zero import ShardedMoment, update_master_copy

if TYPE_CHECKING:
    from accelerate import Accelerator


def is_sharding(accelerator: "Accelerator") -> bool:
    """Whether weights come to lie in shards."""
    return str(accelerator.distributed_type.value) == "FSDP"


def is_flattening(accelerator: "Accelerator") -> bool:
    """Whether weights come to lie in rows, to be cut up: they must be contiguous."""
    return str(accelerator.distributed_type.value) in ("FSDP", "DEEPSPEED")


def check_engine() -> None:
    """Raise InputError where the launcher was told to let an engine train that we cannot save."""
    if os.environ.get("ACCELERATE_USE_MEGATRON_LM", "false").lower() == "true":
        raise InputError(
            "Megatron-LM keeps the optimizer's state by itself, so that no run could be resumed "
            "exactly: use configs/accelerate/fsdp.yaml, which shards as much"
        )


def check_sharding(config: RunConfig, accelerator: "Accelerator") -> None:
    """Raise InputError where the launcher's settings, or ours, do not go with sharded weights."""
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
        "lora: use configs/accelerate/multi_gpu.yaml, adapters need no sharding": config.adapters(),
        "a ControlNet: use configs/accelerate/multi_gpu.yaml": "controlnet" in config.rates(),
        "precision fp16: choose bf16 or fp32": config.precision == "fp16",
        "compile: set it false": config.compile,
        f"optimizer.name {config.optimizer.name}: choose adamw": config.optimizer.name != "adamw",
    }
    if wrong := [what for what, is_so in refused.items() if is_so]:
        raise InputError(f"sharded weights (FSDP) do not go with {'; nor with '.join(wrong)}")


def prepare_sharding(denoiser: Denoiser, accelerator: "Accelerator") -> None:
    """Tell accelerate how to shard, if it is to: unit by unit, in float32.

    Precision is autocast's business, as it is with whole weights, or losses would differ.
    """
    if is_sharding(accelerator):
        plugin = accelerator.state.fsdp_plugin
        plugin.auto_wrap_policy = transformer_auto_wrap_policy
        plugin.transformer_cls_names_to_wrap = units(denoiser)
        plugin.mixed_precision_policy = None


def reshard(module: nn.Module) -> None:
    """Free gathered weights, which a forward pass without a backward pass may leave."""
    for part in module.modules():
        if isinstance(part, FSDPModule):
            part.reshard()


def gather_full(tensor: Tensor) -> Tensor:
    """The whole of a tensor. All processes must call it for the same tensors in the same order."""
    return tensor.full_tensor() if isinstance(tensor, DTensor | ShardedMoment) else tensor


@torch.no_grad()
def copy_into(target: Tensor, whole: Tensor) -> None:
    """Give a tensor, sharded or not, the values of a whole one, which every process has."""
    if isinstance(target, DTensor):
        whole = distribute_tensor(
            whole.to(target.device), target.device_mesh, target.placements, src_data_rank=None
        )
    target.copy_(whole)
    update_master_copy(target)


def units(denoiser: Denoiser) -> list[str]:
    """The classes of modules that FSDP gathers and frees as one.

    The nets themselves are among them: previews call these alone.
    """
    nets = (denoiser.unet, denoiser.text_encoder)
    wanted = {type(net).__name__ for net in nets}
    for net in nets:
        wanted.update(getattr(net, "_no_split_modules", None) or [])
    return sorted(wanted & {type(module).__name__ for module in denoiser.modules()})


@torch.no_grad()
def unshard(denoiser: Denoiser, *, keep: bool) -> None:
    """Undo FSDP when training is done: whole weights on the CPU, in modules of their own classes.

    All processes must call it; those that do not `keep` the weights are left with their shards.
    """
    for module in list(denoiser.modules()):
        for name, parameter in list(module.named_parameters(recurse=False)):
            whole = gather_full(parameter.detach())
            if keep and isinstance(parameter, DTensor):
                setattr(module, name, nn.Parameter(whole.cpu(), parameter.requires_grad))
        if keep and isinstance(module, FSDPModule):
            # fully_shard gave it a class of its own, made of FSDPModule and the true one.
            module.__class__ = type(module).__mro__[2]
