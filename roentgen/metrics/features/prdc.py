"""How much of one set lies where the other does, by nearest neighbours in feature space.

Distances are taken block by block: memory does not grow with the square of n.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roentgen.metrics.features.feature_set import Features, blocks

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """What is found image by image. An image's neighbourhood is the ball to its k-th neighbour."""

    inside: NDArray[np.int64]  # (m,) real neighbourhoods that hold each made image
    recalled: NDArray[np.bool_]  # (n,) whether a made image's neighbourhood holds the real one
    covered: NDArray[np.bool_]  # (n,) whether the real one's neighbourhood holds a made image
    k: int

    def per_image(self) -> dict[str, Floats]:
        """What each measure is the mean of, over made (precision, density) or real images."""
        return {
            "precision": (self.inside > 0).astype(np.float64),
            "recall": self.recalled.astype(np.float64),
            "density": self.inside / self.k,
            "coverage": self.covered.astype(np.float64),
        }


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Shares in [0, 1], but for density, which is 1 in expectation for equal distributions."""

    precision: float  # of synthetic images inside the real set's neighbourhoods
    recall: float  # of real images inside the synthetic set's neighbourhoods
    density: float  # how many real neighbourhoods hold a synthetic image, over k
    coverage: float  # of real neighbourhoods that hold a synthetic image


def coverage(real: Features, made: Features, *, k: int) -> Coverage:
    """Precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020).

    Features are (n, d) and (m, d). Raises ValueError unless n and m are above k.
    """
    found = neighbours(real, made, k=k).per_image()
    return Coverage(**{name: float(values.mean()) for name, values in found.items()})


def neighbours(
    real: Features, made: Features, *, k: int, reach_real: Floats | None = None
) -> Neighbours:
    """Both sets' neighbourhoods, and who lies in them.

    `reach_real` are the real set's `kth_distances`, if known. Raises ValueError as `coverage`.
    """
    if min(len(real), len(made)) <= k:
        raise ValueError(f"{k} neighbours need more than {k} images, not {len(real)}, {len(made)}")
    reach_real = kth_distances(real, k) if reach_real is None else reach_real
    reach_made = kth_distances(made, k)
    inside = np.zeros(len(made), dtype=np.int64)
    recalled, covered = np.zeros(len(real), dtype=bool), np.zeros(len(real), dtype=bool)
    for rows, x in blocks(real):
        nearest = np.full(len(x), np.inf)
        for columns, y in blocks(made):
            squared = squared_distances(x, y)
            inside[columns] += (squared <= reach_real[rows, None]).sum(axis=0)
            recalled[rows] |= (squared <= reach_made[columns]).any(axis=1)
            np.minimum(nearest, squared.min(axis=1), out=nearest)
        covered[rows] = nearest < reach_real[rows]
    return Neighbours(inside=inside, recalled=recalled, covered=covered, k=k)


def kth_distances(x: Features, k: int) -> Floats:
    """Squared distance of each of (n, d) to its k-th nearest other one."""
    result = np.empty(len(x))
    for rows, part in blocks(x):
        nearest = np.empty((len(part), 0))
        for columns, other in blocks(x):
            squared = squared_distances(part, other)
            if columns == rows:
                np.fill_diagonal(squared, np.inf)  # itself is nobody's neighbour
            nearest = np.concatenate([nearest, squared], axis=1)
            if nearest.shape[1] > k:
                nearest = np.partition(nearest, k - 1, axis=1)[:, :k]
        result[rows] = nearest.max(axis=1)
    return result


def squared_distances(x: Floats, y: Floats) -> Floats:
    """Squared Euclidean distances (n, m) of (n, d) to (m, d)."""
    squared = x @ y.T
    squared *= -2
    squared += np.sum(x**2, axis=1)[:, None]
    squared += np.sum(y**2, axis=1)
    return squared.clip(min=0, out=squared)
