"""Attention kernel of the networks: chosen, and tried before any other work."""

import importlib.util
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from accelerate import Accelerator
from diffusers.models.attention_processor import AttnProcessor2_0
from torch.nn.attention import SDPBackend, sdpa_kernel

from roentgen.cpu.bfloat16 import float32_attention
from roentgen.diffusion.conditions.conditions import Conditions
from roentgen.diffusion.denoiser import Denoiser
from roentgen.errors import InputError
from train.config_sections import Attention

KERNELS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "math": SDPBackend.MATH,
}


@contextmanager
def attention_kernel(choice: Attention) -> Iterator[None]:
    """Within, torch's attention uses the chosen kernel or fails, in backward passes too.

    It is not for the VAE, whose attention heads are too wide for most kernels.
    """
    if choice in KERNELS:
        kernel: AbstractContextManager[object] = sdpa_kernel(KERNELS[choice])
    elif choice == "auto" and not torch.accelerator.is_available():
        kernel = float32_attention()
    else:  # torch chooses; xformers: set in the networks
        kernel = nullcontext()
    with kernel:
        yield


def choose_attention(denoiser: Denoiser, choice: Attention, accelerator: Accelerator) -> None:
    """Set the attention kernel of the networks, and try it on one item forward and backward.

    The networks are on the device, as they train. Raises InputError if the kernel is missing, does
    not support the networks' shapes and precision here, or would not be used.
    """
    if choice == "auto":
        return
    if choice == "xformers":
        _use_xformers(denoiser)
    else:
        _check_sdpa(denoiser, choice)
    try:
        with accelerator.autocast(), attention_kernel(choice):
            _probe(denoiser, accelerator.device)
    except RuntimeError as error:
        raise InputError(
            f"attention={choice} cannot be used on {accelerator.device.type} with precision "
            f"{accelerator.mixed_precision} and this model ({_first_line(error)}): set "
            "attention=auto"
        ) from error


def _use_xformers(denoiser: Denoiser) -> None:
    """Set xformers' attention in the UNet and a ControlNet."""
    if not (importlib.util.find_spec("xformers") and torch.cuda.is_available()):
        raise InputError(
            "attention=xformers needs a CUDA GPU and the package: pip install -e '.[xformers]', or "
            "set attention=auto"
        )
    try:
        for net in denoiser.convolutional:
            net.enable_xformers_memory_efficient_attention()
    except Exception as error:  # xformers has several, down to an ImportError
        raise InputError(
            f"attention=xformers cannot be used ({_first_line(error)}): set attention=auto"
        ) from error
    kinds = _processors(denoiser)
    if kinds != {"XFormersAttnProcessor"}:
        raise InputError(
            f"attention=xformers has no effect on {', '.join(sorted(kinds))}: set attention=auto"
        )


def _check_sdpa(denoiser: Denoiser, choice: Attention) -> None:
    """Raises InputError unless the networks use torch's scaled_dot_product_attention.

    A text encoder whose states are cached is not concerned.
    """
    kinds = _processors(denoiser) - {AttnProcessor2_0.__name__}
    if kinds:
        raise InputError(
            f"attention={choice} has no effect on the UNet, whose attention is "
            f"{', '.join(sorted(kinds))}: set attention=auto"
        )
    kind = denoiser.text_encoder.config._attn_implementation
    if denoiser.runs_text_encoder and kind != "sdpa":
        raise InputError(
            f"attention={choice} has no effect on the text encoder, whose kernel is {kind!r}: set "
            "attention=auto"
        )


def _processors(denoiser: Denoiser) -> set[str]:
    return {
        type(processor).__name__
        for net in denoiser.convolutional
        for processor in net.attn_processors.values()
    }


def _probe(denoiser: Denoiser, device: torch.device) -> None:
    """One item through what steps run and back to the beginnings; no gradient is stored."""
    config = denoiser.unet.config
    side = config.sample_size
    noisy = torch.zeros(1, config.in_channels, side, side, device=device, requires_grad=True)
    steps = torch.zeros(1, dtype=torch.int64, device=device)
    beginnings = [noisy]
    if denoiser.trains_text_encoder:
        named = denoiser.trained()
        beginnings += [next(w for name, w in named if name.startswith("text_encoder."))]
    conditions = Conditions(text=denoiser.example_text(1))
    torch.autograd.grad(denoiser(noisy, steps, conditions).float().sum(), beginnings)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
