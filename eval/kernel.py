"""Kernel distances of two sets of features: KID and CMMD.

Kernels are summed block by block in float64: memory does not grow with the square of n.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Kernel = Callable[[Floats, Floats], Floats]
_ROWS = 1024  # of a block
CMMD_SIGMA, CMMD_SCALE = 10.0, 1000.0


def kernel_distance(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """KID: squared MMD with (x.y / d + 1)^3, unbiased whatever n (Binkowski et al. 2018).

    Over all images at once; torch-fidelity and torchmetrics average random subsets of 1,000.
    """

    def cubic(x: Floats, y: Floats) -> Floats:
        result: Floats = (x @ y.T / x.shape[1] + 1) ** 3
        return result

    return squared_mmd(a, b, cubic, unbiased=True)


def cmmd(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """CMMD (Jayasumana et al. 2024): 1,000 times the squared MMD with a Gaussian kernel, sigma 10.

    Meant for CLIP's image embeddings, here normalised to length 1. As the authors' code, with the
    pairs of an image with itself: a small set's distance is biased upwards.
    """
    wide = [x.astype(np.float64) for x in (a, b)]
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in wide]

    def gaussian(x: Floats, y: Floats) -> Floats:
        squared = np.sum(x**2, axis=1)[:, None] + np.sum(y**2, axis=1) - 2 * x @ y.T
        result: Floats = np.exp(-squared.clip(min=0) / (2 * CMMD_SIGMA**2))
        return result

    return CMMD_SCALE * squared_mmd(unit[0], unit[1], gaussian, unbiased=False)


def squared_mmd(
    a: NDArray[np.floating], b: NDArray[np.floating], kernel: Kernel, *, unbiased: bool
) -> float:
    """Squared maximum mean discrepancy of features (n, d) and (m, d) (Gretton et al. 2012).

    `unbiased` leaves out the pairs of an image with itself. Raises ValueError below 2 features.
    """
    if min(len(a), len(b)) < 2:
        raise ValueError(f"a kernel distance needs 2 features, not {len(a)} and {len(b)}")
    x, y = a.astype(np.float64), b.astype(np.float64)
    within = sum(_mean(z, z, kernel, without_diagonal=unbiased) for z in (x, y))
    return within - 2 * _mean(x, y, kernel)


def _mean(x: Floats, y: Floats, kernel: Kernel, *, without_diagonal: bool = False) -> float:
    total, pairs = 0.0, len(x) * len(y)
    for start in range(0, len(x), _ROWS):
        block = kernel(x[start : start + _ROWS], y)
        total += float(block.sum())
        if without_diagonal:
            total -= float(np.trace(block[:, start:]))
    return total / (pairs - len(x) if without_diagonal else pairs)
