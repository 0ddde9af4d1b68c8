"""DeepSpeed ZeRO stages 1 and 2: optimizer state partitioned over the processes.

Every process has all weights. DeepSpeed flattens and concatenates those of a group, partitions the
result equally over the processes, and each steps its own partition: a float32 copy with its
moments. The position of a weight is stored on it as `_hp_mapping`, which is None on a process whose
partition has no part of it.
"""

import importlib.util
import os
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from accelerate import Accelerator, DeepSpeedPlugin
from accelerate.utils import InitProcessGroupKwargs
from torch import Tensor, nn
from torch.optim import Optimizer

from roentgen.errors import InputError
from train.config import RunConfig


def is_deepspeed_launch() -> bool:
    """Whether the launcher requests DeepSpeed."""
    return os.environ.get("ACCELERATE_USE_DEEPSPEED", "false").lower() == "true"


def not_shardable(config: RunConfig) -> dict[str, Any]:
    """Settings that no sharding supports, each with what to do, and whether the run has them."""
    return {
        "lora: use configs/accelerate/multi_gpu.yaml, adapters need no sharding": config.adapters(),
        "a ControlNet: use configs/accelerate/multi_gpu.yaml": "controlnet" in config.rates(),
        "precision fp16: choose bf16 or fp32": config.precision == "fp16",
        "compile: set it false": config.compile,
        f"optimizer.name {config.optimizer.name}: choose adamw": config.optimizer.name != "adamw",
    }


def zero_plugin(config: RunConfig) -> DeepSpeedPlugin:
    """DeepSpeed's settings by the launcher and the configuration.

    Raises InputError if it is not installed or the two are incompatible.
    """
    if not importlib.util.find_spec("deepspeed"):
        raise InputError(
            "DeepSpeed is not installed: pip install -e '.[deepspeed]', or use "
            "configs/accelerate/fsdp.yaml, which shards as much without it"
        )
    if "ACCELERATE_DEEPSPEED_CONFIG_FILE" in os.environ:
        raise InputError(
            "DeepSpeed does not go with deepspeed_config_file: leave it out and set zero_stage"
        )
    plugin = DeepSpeedPlugin()
    stage, clip = plugin.zero_stage, config.optimizer.clip or 0.0
    offload = {plugin.offload_optimizer_device, plugin.offload_param_device} - {"none"}
    slices, limit = plugin.gradient_accumulation_steps, plugin.gradient_clipping
    ours = config.gradient_accumulation
    refused = {
        "zero_stage 0: use configs/accelerate/multi_gpu.yaml": stage == 0,
        "zero_stage 3: use configs/accelerate/fsdp.yaml, which shards weights too": stage == 3,
        "offload_optimizer_device or offload_param_device: set both none": offload,
        f"gradient_accumulation_steps {slices}: leave it out, ours is {ours}": slices
        not in ("auto", ours),
        f"gradient_clipping {limit}: leave it out, optimizer.clip is {config.optimizer.clip}": limit
        not in ("auto", clip),
        **not_shardable(config),
    }
    if wrong := [setting for setting, is_refused in refused.items() if is_refused]:
        raise InputError(f"DeepSpeed does not go with {'; nor with '.join(wrong)}")
    plugin.deepspeed_config |= {
        "train_micro_batch_size_per_gpu": 1,  # only for its own log: batches are ours
        "gradient_accumulation_steps": ours,
        "gradient_clipping": clip,
        "torch_autocast": {
            "enabled": config.precision == "bf16",
            "dtype": "bfloat16",
            "lower_precision_safe_modules": [],  # of which gradients would be exchanged in bf16
        },
    }
    return plugin


class ZeroAccelerator(Accelerator):  # type: ignore[misc]
    """An Accelerator whose optimizer steps are DeepSpeed's, after a step's last backward pass.

    DeepSpeed clips gradients and skips steps with non-finite ones by itself.
    """

    def __init__(self, config: RunConfig, **settings: Any) -> None:
        """Settings are those of any Accelerator. Raises InputError; see `zero_plugin`."""
        self._low = config.precision == "bf16"
        gloo = [InitProcessGroupKwargs(backend="gloo")] if settings["cpu"] else None
        # With cpu, accelerate would not use DeepSpeed; with bf16, weights would be rounded.
        settings |= {"cpu": False, "mixed_precision": "no"}
        super().__init__(**settings, deepspeed_plugins=zero_plugin(config), kwargs_handlers=gloo)

    def autocast(self, *_: Any) -> AbstractContextManager[Any]:
        """As configured; accelerate leaves it to DeepSpeed, which only handles its own model."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self._low)

    def clip_grad_norm_(self, *_: Any) -> Tensor:
        """The norm of the last step's gradient before clipping; infinite if it was skipped."""
        norm = self.deepspeed_engine_wrapped.get_global_grad_norm()
        return torch.tensor(norm, device=self.device)


def has_sharded_state(parameter: Tensor) -> bool:
    """Whether the optimizer's state of a weight is partitioned."""
    return hasattr(parameter, "_hp_mapping")


@torch.no_grad()
def update_master_copy(parameter: Tensor) -> None:
    """Copy a weight to its float32 master copy, if it has one."""
    if has_sharded_state(parameter):
        from deepspeed.utils import safe_set_full_fp32_param

        safe_set_full_fp32_param(parameter, parameter.detach())


def entries(optimizer: Optimizer, parameter: nn.Parameter) -> Mapping[str, Any]:
    """The optimizer's state of a weight: numbers, and tensors or `ShardedMoment`s."""
    if not has_sharded_state(parameter):
        state: Mapping[str, Any] = optimizer.state[parameter]
        return state
    (run,) = optimizer.param_groups[0]["params"]  # as any: all have taken the same steps
    return {
        entry: value if entry == "step" else ShardedMoment(parameter, optimizer, entry)
        for entry, value in optimizer.state[run].items()
    }


def load_entry(optimizer: Optimizer, parameter: nn.Parameter, entry: str, whole: Tensor) -> None:
    """Load the saved state of a weight whose state is partitioned."""
    for group in optimizer.param_groups:
        (run,) = group["params"]
        if entry not in optimizer.state[run]:
            first = whole.to(run.device, copy=True) if entry == "step" else torch.zeros_like(run)
            optimizer.state[run][entry] = first
    if entry != "step":
        ShardedMoment(parameter, optimizer, entry).fill(whole)


@dataclass(frozen=True)
class ShardedMoment:
    """A moment of a weight, of which each process has at most one part."""

    parameter: Any  # a weight that DeepSpeed has mapped
    optimizer: Optimizer
    entry: str

    @property
    def dtype(self) -> torch.dtype:
        """The weight's: float32."""
        dtype: torch.dtype = self.parameter.dtype
        return dtype

    @property
    def shape(self) -> torch.Size:
        """The weight's."""
        shape: torch.Size = self.parameter.shape
        return shape

    def detach(self) -> "ShardedMoment":
        """Itself, as it has no gradient."""
        return self

    def full_tensor(self) -> Tensor:
        """The full moment. All processes must call it for the same moments in the same order."""
        whole = torch.zeros_like(self.parameter).flatten()
        for own, place in self._piece():
            whole[place] = own
        dist.all_reduce(whole)
        return whole.view(self.shape)

    def fill(self, whole: Tensor) -> None:
        """Load this process's part of a full moment."""
        for own, place in self._piece():
            own.copy_(whole.flatten()[place])

    def _piece(self) -> Iterable[tuple[Tensor, slice]]:
        """The part of this process, a view, and its position in the flattened moment."""
        mapping = self.parameter._hp_mapping
        if mapping is None:
            return
        (run,) = self.optimizer.param_groups[mapping.param_group_index]["params"]
        inner, outer = mapping.hp_fragment_address, mapping.lp_fragment_address
        own = self.optimizer.state[run][self.entry].narrow(0, inner.start, inner.numel)
        yield own, slice(outer.start, outer.start + outer.numel)
