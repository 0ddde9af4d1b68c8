"""Overlap of masks: Dice coefficient and intersection over union."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def dice(a: Mask, b: Mask) -> NDArray[np.float64]:
    """2 |A and B| / (|A| + |B|) of masks [..., H, W] (Dice 1945), [...] in [0, 1].

    1 for two empty masks; 0 for an empty and a nonempty one.
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


def _share(part: Any, total: Any) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = np.where(total > 0, part / np.maximum(total, 1), 1.0)
    return shares
