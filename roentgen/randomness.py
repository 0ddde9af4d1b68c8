"""Seeds and generators derived from an item's identity: the same item always draws the same."""

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def derive_seed(seed: int, *identity: str | int) -> int:
    """A 63-bit seed from a run's seed and an item's identity, the same on every machine."""
    text = "\x1f".join([str(seed), *[f"{type(part).__name__}:{part}" for part in identity]])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def numpy_generator(seed: int, *identity: str | int) -> np.random.Generator:
    """A NumPy generator for one item."""
    return np.random.default_rng(derive_seed(seed, *identity))


def torch_generator(seed: int, *identity: str | int) -> "torch.Generator":
    """A torch CPU generator for one item; draw on the CPU and move, so that devices agree."""
    import torch  # 3 s and 400 MB, which drawing phantoms does not need

    return torch.Generator().manual_seed(derive_seed(seed, *identity))
