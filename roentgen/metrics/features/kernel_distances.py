"""Kernel distances of two sets of features: KID and CMMD.

Kernels are summed block by block in float64: memory does not grow with n. One pass gives the
distances of all resamples, which are weights of the pairs.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roentgen.errors import InputError
from roentgen.metrics.estimates import Floats
from roentgen.metrics.features.feature_set import Features, blocks

Kernel = Callable[[Floats, Floats], Floats]
CMMD_SIGMA, CMMD_SCALE = 10.0, 1000.0


def kernel_distance(a: Features, b: Features) -> float:
    """KID: squared MMD with (x.y / d + 1)^3, unbiased for any n (Binkowski et al. 2018).

    Over all images at once; torch-fidelity and torchmetrics average random subsets of 1,000.
    """
    once = (np.ones((1, len(features))) for features in (a, b))
    return float(kernel_distances(a, b, *once)[0])


def kernel_distances(
    a: Features, b: Features, weights_a: NDArray[Any], weights_b: NDArray[Any]
) -> Floats:
    """KID (R,) under each row of weights (R, n) and (R, m), such as bootstrap counts."""
    return squared_mmds(a, b, _cubic, weights_a, weights_b, unbiased=True)


def cmmds(a: Features, b: Features, weights_a: NDArray[Any], weights_b: NDArray[Any]) -> Floats:
    """CMMD (R,) under each row of weights (R, n) and (R, m) (Jayasumana et al. 2024).

    1,000 times the squared MMD with a Gaussian kernel, sigma 10, meant for CLIP's image embeddings,
    which are normalized to length 1. As in the authors' code, pairs of an image with itself are
    included: the distance of a small set is biased upwards. Raises InputError for a feature of
    length 0.
    """
    squared = squared_mmds(a, b, _gaussian, weights_a, weights_b, unbiased=False)
    result: Floats = CMMD_SCALE * squared.clip(min=0)  # below it by rounding alone
    return result


def squared_mmds(
    a: Features,
    b: Features,
    kernel: Kernel,
    weights_a: NDArray[Any],
    weights_b: NDArray[Any],
    *,
    unbiased: bool,
) -> Floats:
    """Squared maximum mean discrepancy of features (n, d) and (m, d) (Gretton et al. 2012).

    `unbiased` excludes pairs of an image with itself, also if a resample contains it twice; NaN
    for a resample of one image. Raises InputError below 2 features, or if one is not finite.
    """
    if min(len(a), len(b)) < 2:
        raise InputError(f"a kernel distance needs 2 features, not {len(a)} and {len(b)}")
    within = sum(
        _within(x, kernel, weights, unbiased=unbiased)
        for x, weights in ((a, weights_a), (b, weights_b))
    )
    result: Floats = within - 2 * _across(a, b, kernel, weights_a, weights_b)
    return result


def _within(x: Features, kernel: Kernel, weights: NDArray[Any], *, unbiased: bool) -> Floats:
    """The mean over pairs within one set; each pair of blocks is computed once."""
    total = np.zeros(len(weights))
    pairs = weights.sum(axis=1, dtype=np.float64) ** 2
    for rows, part in blocks(x):
        for columns, other in blocks(x):
            if columns.start < rows.start:
                continue
            values = kernel(part, other)
            if columns == rows and unbiased:
                np.fill_diagonal(values, 0)
            share = _weighted(values, weights[:, rows], weights[:, columns])
            total += share if columns == rows else 2 * share
    if unbiased:
        pairs -= np.einsum("rn,rn->r", weights, weights)
    mean: Floats = np.divide(total, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)
    return mean


def _across(
    x: Features, y: Features, kernel: Kernel, first: NDArray[Any], second: NDArray[Any]
) -> Floats:
    """The mean over pairs across two sets."""
    total = np.zeros(len(first))
    for rows, part in blocks(x):
        for columns, other in blocks(y):
            total += _weighted(kernel(part, other), first[:, rows], second[:, columns])
    pairs = first.sum(axis=1, dtype=np.float64) * second.sum(axis=1, dtype=np.float64)
    mean: Floats = total / pairs
    return mean


def _weighted(values: Floats, left: NDArray[Any], right: NDArray[Any]) -> Floats:
    result: Floats = np.einsum("rj,rj->r", left.astype(np.float64) @ values, right)
    return result


def _cubic(x: Floats, y: Floats) -> Floats:
    result = x @ y.T
    result /= x.shape[1]
    result += 1
    cube: Floats = result * result * result  # ** 3 is many times slower
    return cube


def _gaussian(x: Floats, y: Floats) -> Floats:
    lengths = [np.linalg.norm(z, axis=1, keepdims=True) for z in (x, y)]
    if not all(length.all() for length in lengths):
        raise InputError("CMMD needs features, none of them zero")
    x, y = x / lengths[0], y / lengths[1]
    squared = np.sum(x**2, axis=1)[:, None] + np.sum(y**2, axis=1) - 2 * x @ y.T
    result: Floats = np.exp(-squared.clip(min=0) / (2 * CMMD_SIGMA**2))
    return result
