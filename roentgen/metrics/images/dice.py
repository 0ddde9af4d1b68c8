"""How much two masks have in common."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def dice(a: Mask, b: Mask) -> NDArray[np.float64]:
    """2 |A and B| / (|A| + |B|) of masks [..., H, W] (Dice 1945), [...] in [0, 1].

    Two empty masks agree: 1. One empty mask has nothing in common with one that is not: 0.
    """
    both, one, other = _areas(a, b)
    return _share(2 * both, one + other)


def iou(a: Mask, b: Mask) -> NDArray[np.float64]:
    """|A and B| / |A or B| of masks [..., H, W] (Jaccard 1912), [...] in [0, 1]; see `dice`."""
    both, one, other = _areas(a, b)
    return _share(both, one + other - both)


def _areas(a: Mask, b: Mask) -> tuple[Any, Any, Any]:
    if a.dtype != np.bool_ or b.dtype != np.bool_ or a.shape != b.shape:
        raise ValueError(f"masks are {a.dtype} {a.shape} and {b.dtype} {b.shape}: both bool, alike")
    return tuple(mask.sum(axis=(-2, -1), dtype=np.float64) for mask in (a & b, a, b))


def _share(part: Any, whole: Any) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = np.where(whole > 0, part / np.maximum(whole, 1), 1.0)
    return shares
