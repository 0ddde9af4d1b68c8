"""The UNet's repeated blocks, compiled: faster steps after a start of a minute or two."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from roentgen.diffusion.denoiser import Denoiser


def compile_blocks(denoiser: Denoiser) -> None:
    """Let torch compile the transformer blocks, each at its first step.

    Names and weights stay as they are, and with them checkpoints.
    """
    for net in denoiser.convolutional:
        net.compile_repeated_blocks()


@contextmanager
def uncompiled(denoiser: Denoiser) -> Iterator[None]:
    """Within, compiled blocks run as written: for batches of other sizes than training's."""
    if not any(module._compiled_call_impl for module in denoiser.modules()):
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield
