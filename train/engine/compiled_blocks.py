"""Compilation of the UNet's repeated blocks: faster steps after a minute or two at the start."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from roentgen.diffusion.denoiser import Denoiser


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
