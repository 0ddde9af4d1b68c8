"""How much of one set lies where the other does, by nearest neighbours in feature space.

Distances are taken block by block: memory does not grow with the square of n.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_ROWS = 1024  # of a block


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Shares in [0, 1], but for density, which is 1 in expectation for equal distributions."""

    precision: float  # of synthetic images inside the real set's neighbourhoods
    recall: float  # of real images inside the synthetic set's neighbourhoods
    density: float  # how many real neighbourhoods hold a synthetic image, over k
    coverage: float  # of real neighbourhoods that hold a synthetic image


def coverage(real: NDArray[np.floating], made: NDArray[np.floating], *, k: int) -> Coverage:
    """Precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020).

    An image's neighbourhood is the ball to its k-th nearest neighbour in its own set. Features are
    (n, d) and (m, d). Raises ValueError unless n and m are above k.
    """
    if min(len(real), len(made)) <= k:
        raise ValueError(f"{k} neighbours need more than {k} images, not {len(real)}, {len(made)}")
    x, y = real.astype(np.float64), made.astype(np.float64)
    reach_real, reach_made = kth_distances(x, k), kth_distances(y, k)
    inside = np.zeros(len(y), dtype=np.int64)  # real neighbourhoods that hold each made image
    recalled, covered = 0, 0
    for rows, squared in squared_distances(x, y):
        within = squared <= reach_real[rows, None]
        inside += within.sum(axis=0)
        covered += int((squared.min(axis=1) < reach_real[rows]).sum())
        recalled += int((squared <= reach_made).any(axis=1).sum())
    return Coverage(
        precision=float((inside > 0).mean()),
        recall=recalled / len(x),
        density=float(inside.mean() / k),
        coverage=covered / len(x),
    )


def kth_distances(x: Floats, k: int) -> Floats:
    """Squared distance of each of (n, d) to its k-th nearest other one."""
    result = np.empty(len(x))
    for rows, squared in squared_distances(x, x):
        places = np.arange(rows.start, rows.start + len(squared))
        squared[np.arange(len(squared)), places] = -1.0  # itself comes first, whatever the rounding
        result[rows] = np.partition(squared, k, axis=1)[:, k]
    return result


def squared_distances(x: Floats, y: Floats) -> Iterator[tuple[slice, Floats]]:
    """Squared Euclidean distances of (n, d) to (m, d), as rows of x and their block (rows, m)."""
    lengths = np.sum(y**2, axis=1)
    for start in range(0, len(x), _ROWS):
        rows = slice(start, min(start + _ROWS, len(x)))
        part = x[rows]
        squared = np.sum(part**2, axis=1)[:, None] + lengths - 2 * (part @ y.T)
        yield rows, squared.clip(min=0)
