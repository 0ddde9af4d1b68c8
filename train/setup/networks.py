"""Networks of a run: the denoiser and the VAE on their device, in their memory layout."""

from collections.abc import Callable
from typing import TypeVar

import torch
from accelerate import Accelerator

from roentgen.diffusion.denoiser import Denoiser
from train.config import RunConfig
from train.engine.attention import choose_attention
from train.engine.fsdp import is_flattening
from train.engine.runtime import compile_blocks
from train.inputs import Inputs

C = TypeVar("C", bound=RunConfig)


def make_denoiser(
    config: C,
    inputs: Inputs,
    accelerator: Accelerator,
    choose: Callable[[C, Inputs, Denoiser], None],
) -> Denoiser:
    """The networks on the device, ready to train; the attention kernel has been tried on them."""
    denoiser = Denoiser(inputs.components, caches_states=config.data.cache_text)
    choose(config, inputs, denoiser)
    if config.gradient_checkpointing:
        denoiser.save_memory()
    channels_last = config.channels_last and not is_flattening(accelerator)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    denoiser.to(accelerator.device)
    for net in denoiser.convolutional:
        net.to(memory_format=layout)
    if accelerator.device.type == "cpu":
        _unmap(denoiser)
    choose_attention(denoiser, config.attention, accelerator)
    if config.compile:
        compile_blocks(denoiser)
    return denoiser


def place_vae(config: RunConfig, inputs: Inputs, accelerator: Accelerator) -> None:
    """Move the VAE to the device; it does not train."""
    vae = inputs.components.vae
    layout = torch.channels_last if config.channels_last else torch.contiguous_format
    vae.to(accelerator.device, memory_format=layout).requires_grad_(False)
    if accelerator.device.type == "cpu":
        _unmap(vae)


def _unmap(module: torch.nn.Module) -> None:
    """Copy weights, as the files they are mapped from would otherwise stay in memory."""
    for weight in module.parameters():
        weight.data = weight.data.clone()
