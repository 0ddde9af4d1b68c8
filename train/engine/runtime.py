"""Runtime of networks: processes and device, attention kernel, memory layout, compilation."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from accelerate import Accelerator

from roentgen.diffusion.denoiser import Denoiser
from train.config import RunConfig
from train.config_sections import Attention
from train.engine.attention import attention_kernel
from train.engine.fsdp import reshard


def compile_blocks(denoiser: Denoiser) -> None:
    """Compile the transformer blocks, each at its first call.

    Names and weights, and so checkpoints, do not change.
    """
    for net in denoiser.convolutional:
        net.compile_repeated_blocks()


@contextmanager
def uncompiled(denoiser: Denoiser) -> Iterator[None]:
    """Within, compiled blocks run eagerly, for batches of other sizes than in training."""
    if not any(module._compiled_call_impl for module in denoiser.modules()):
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """How networks are run."""

    accelerator: Accelerator
    attention: Attention
    memory_format: torch.memory_format  # of images and latents

    @classmethod
    def of(cls, config: RunConfig, accelerator: Accelerator) -> "Runtime":
        """The runtime that a configuration chooses."""
        layout = torch.channels_last if config.channels_last else torch.contiguous_format
        return cls(accelerator=accelerator, attention=config.attention, memory_format=layout)

    @property
    def device(self) -> torch.device:
        """The device of this process."""
        device: torch.device = self.accelerator.device
        return device

    @contextmanager
    def precision_and_attention(self) -> Iterator[None]:
        """Within, networks compute in the run's precision with its attention kernel."""
        with self.accelerator.autocast(), attention_kernel(self.attention):
            yield


@contextmanager
def evaluating(denoiser: Denoiser) -> Iterator[None]:
    """Within, the networks are in eval mode and no gradients are stored."""
    denoiser.eval()
    try:
        with torch.no_grad(), uncompiled(denoiser):
            yield
    finally:
        reshard(denoiser)
        denoiser.train()
