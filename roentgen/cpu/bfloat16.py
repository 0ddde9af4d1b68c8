"""Bfloat16 arithmetic: where it is faster than float32, and attention beside it on CPUs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def computes_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 faster than float32: GPUs since Ampere, AVX-512 BF16."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()


@contextmanager
def float32_attention() -> Iterator[None]:
    """Within, torch's attention of bfloat16 states is computed in float32, on CPUs alone.

    Their flash attention is slower backward in bfloat16: 37 instead of 5 ms for 256 heads of 64
    positions, 101 instead of 83 ms for 256 positions. The math kernel takes 9 and 138 ms.
    """
    attend = functional.scaled_dot_product_attention

    def attend_in_float32(
        query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any
    ) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            states = attend(query.float(), key.float(), value.float(), *args, **kwargs)
        return states.to(query.dtype)

    # A function mode of torch would not reach blocks that are recomputed in the backward pass.
    functional.scaled_dot_product_attention = attend_in_float32
    try:
        yield
    finally:
        functional.scaled_dot_product_attention = attend
