"""Optimizer state cut up over the processes, by DeepSpeed's ZeRO stages 1 and 2.

Weights stay whole on every process. DeepSpeed lays those of a group end to end, cuts the row into
as many equal runs as there are processes, and lets each step its own run: a float32 copy with its
moments. Where in the row a weight lies it notes on the weight, as `_hp_mapping`; that is None where
no piece of it is a process's own.
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
    """Whether the launcher was told to let DeepSpeed train."""
    return os.environ.get("ACCELERATE_USE_DEEPSPEED", "false").lower() == "true"


def zero_plugin(config: RunConfig) -> DeepSpeedPlugin:
    """What the launcher and the configuration ask of DeepSpeed.

    Raises InputError where it is not installed, or the two do not go together.
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
        "lora: use configs/accelerate/multi_gpu.yaml, adapters need no sharding": config.adapters(),
        "a ControlNet: use configs/accelerate/multi_gpu.yaml": "controlnet" in config.rates(),
        "precision fp16: choose bf16 or fp32": config.precision == "fp16",
        "compile: set it false": config.compile,
        f"optimizer.name {config.optimizer.name}: choose adamw": config.optimizer.name != "adamw",
    }
    if wrong := [what for what, is_so in refused.items() if is_so]:
        raise InputError(f"DeepSpeed does not go with {'; nor with '.join(wrong)}")
    plugin.deepspeed_config |= {
        "train_micro_batch_size_per_gpu": 1,  # for its own log alone: batches are ours
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
    """Accelerate's, where DeepSpeed takes the steps: at the end of a step's last backward pass.

    It clips, and leaves out a step whose gradient is not finite, by itself.
    """

    def __init__(self, config: RunConfig, **settings: Any) -> None:
        """Settings are those of any Accelerator. Raises InputError; see `zero_plugin`."""
        self._low = config.precision == "bf16"
        gloo = [InitProcessGroupKwargs(backend="gloo")] if settings["cpu"] else None
        # Told of a CPU, accelerate would do without DeepSpeed; of bf16, weights would be rounded.
        settings |= {"cpu": False, "mixed_precision": "no"}
        super().__init__(**settings, deepspeed_plugins=zero_plugin(config), kwargs_handlers=gloo)

    def autocast(self, *_: Any) -> AbstractContextManager[Any]:
        """As configured; accelerate leaves it to DeepSpeed, which knows of its own model alone."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self._low)

    def clip_grad_norm_(self, *_: Any) -> Tensor:
        """The norm of the last step's gradient before clipping; infinite if it was left out."""
        norm = self.deepspeed_engine_wrapped.get_global_grad_norm()
        return torch.tensor(norm, device=self.device)


def has_sharded_state(parameter: Tensor) -> bool:
    """Whether the optimizer's state of a weight is cut up."""
    return hasattr(parameter, "_hp_mapping")


@torch.no_grad()
def update_master_copy(parameter: Tensor) -> None:
    """Let the copy that is stepped have the values of its weight, if it has one."""
    if has_sharded_state(parameter):
        from deepspeed.utils import safe_set_full_fp32_param

        safe_set_full_fp32_param(parameter, parameter.detach())


def entries(optimizer: Optimizer, parameter: nn.Parameter) -> Mapping[str, Any]:
    """What the optimizer keeps of a weight: numbers, and tensors or each a `ShardedMoment`."""
    if not has_sharded_state(parameter):
        kept: Mapping[str, Any] = optimizer.state[parameter]
        return kept
    (run,) = optimizer.param_groups[0]["params"]  # as any: all have taken the same steps
    return {
        entry: value if entry == "step" else ShardedMoment(parameter, optimizer, entry)
        for entry, value in optimizer.state[run].items()
    }


def load_entry(optimizer: Optimizer, parameter: nn.Parameter, entry: str, whole: Tensor) -> None:
    """Take up what was saved of a weight whose state is cut up."""
    for group in optimizer.param_groups:
        (run,) = group["params"]
        if entry not in optimizer.state[run]:
            begun = whole.to(run.device, copy=True) if entry == "step" else torch.zeros_like(run)
            optimizer.state[run][entry] = begun
    if entry != "step":
        ShardedMoment(parameter, optimizer, entry).fill(whole)


@dataclass(frozen=True)
class ShardedMoment:
    """A moment of a weight, of which each process has a piece at most."""

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
        """The whole. All processes must call it for the same moments in the same order."""
        whole = torch.zeros_like(self.parameter).flatten()
        for own, place in self._piece():
            whole[place] = own
        dist.all_reduce(whole)
        return whole.view(self.shape)

    def fill(self, whole: Tensor) -> None:
        """Take this process's piece of a whole one."""
        for own, place in self._piece():
            own.copy_(whole.flatten()[place])

    def _piece(self) -> Iterable[tuple[Tensor, slice]]:
        """The piece of this process, a view, and where in the flattened whole it lies."""
        mapping = self.parameter._hp_mapping
        if mapping is None:
            return
        (run,) = self.optimizer.param_groups[mapping.param_group_index]["params"]
        inner, outer = mapping.hp_fragment_address, mapping.lp_fragment_address
        own = self.optimizer.state[run][self.entry].narrow(0, inner.start, inner.numel)
        yield own, slice(outer.start, outer.start + outer.numel)
