"""Randomness as a function of identity: the same item draws the same numbers wherever it runs."""

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def derive_seed(seed: int, *identity: str | int) -> int:
    """A 63-bit seed from a run's seed and an item's identity, alike on every machine."""
    text = "\x1f".join([str(seed), *[f"{type(part).__name__}:{part}" for part in identity]])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def numpy_generator(seed: int, *identity: str | int) -> np.random.Generator:
    """NumPy's generator for one item."""
    return np.random.default_rng(derive_seed(seed, *identity))


def torch_generator(seed: int, *identity: str | int) -> "torch.Generator":
    """Torch's CPU generator for one item; draw on the CPU and move, so devices agree."""
    import torch  # 3 s and 400 MB, which who draws phantoms need not spend

    return torch.Generator().manual_seed(derive_seed(seed, *identity))
