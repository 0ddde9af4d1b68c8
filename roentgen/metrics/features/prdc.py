"""Precision, recall, density and coverage by nearest neighbors in feature space.

Distances are computed block by block: memory does not grow with the square of n.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roentgen.metrics.estimates import Floats
from roentgen.metrics.features.feature_set import Features, blocks


@dataclass(frozen=True, kw_only=True)
class Neighborhoods:
    """Membership in neighborhoods, image by image: balls that reach to the k-th neighbor."""

    inside: NDArray[np.int64]  # (m,) number of real neighborhoods that contain a synthetic image
    recalled: NDArray[np.bool_]  # (n,) whether a synthetic neighborhood contains the real image
    covered: NDArray[np.bool_]  # (n,) whether the real neighborhood contains a synthetic image
    k: int

    def per_image(self) -> dict[str, Floats]:
        """The values of which each measure is the mean, (m,) precision and density, (n,) others."""
        return {
            "precision": (self.inside > 0).astype(np.float64),
            "recall": self.recalled.astype(np.float64),
            "density": self.inside / self.k,
            "coverage": self.covered.astype(np.float64),
        }


@dataclass(frozen=True, kw_only=True)
class Prdc:
    """Shares in [0, 1], except density, which is 1 in expectation for equal distributions."""

    precision: float  # share of synthetic images within real neighborhoods
    recall: float  # share of real images within synthetic neighborhoods
    density: float  # mean number of real neighborhoods around a synthetic image, over k
    coverage: float  # share of real neighborhoods that contain a synthetic image


def prdc(real: Features, synthetic: Features, *, k: int) -> Prdc:
    """Precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020).

    Features are (n, d) and (m, d). Raises ValueError unless n and m are above k.
    """
    found = neighborhoods(real, synthetic, k=k).per_image()
    return Prdc(**{name: float(values.mean()) for name, values in found.items()})


def neighborhoods(
    real: Features, synthetic: Features, *, k: int, reach_real: Floats | None = None
) -> Neighborhoods:
    """The neighborhoods of both sets, and the images within them.

    `reach_real` are the real set's `kth_distances`, if known. Raises ValueError as `prdc` does.
    """
    sizes = len(real), len(synthetic)
    if min(sizes) <= k:
        raise ValueError(f"{k} neighbors need more than {k} images, not {sizes[0]}, {sizes[1]}")
    reach_real = kth_distances(real, k) if reach_real is None else reach_real
    reach_synthetic = kth_distances(synthetic, k)
    inside = np.zeros(len(synthetic), dtype=np.int64)
    recalled, covered = np.zeros(len(real), dtype=bool), np.zeros(len(real), dtype=bool)
    for rows, x in blocks(real):
        nearest = np.full(len(x), np.inf)
        for columns, y in blocks(synthetic):
            squared = squared_distances(x, y)
            inside[columns] += (squared <= reach_real[rows, None]).sum(axis=0)
            recalled[rows] |= (squared <= reach_synthetic[columns]).any(axis=1)
            np.minimum(nearest, squared.min(axis=1), out=nearest)
        covered[rows] = nearest < reach_real[rows]
    return Neighborhoods(inside=inside, recalled=recalled, covered=covered, k=k)


def kth_distances(x: Features, k: int) -> Floats:
    """Squared distance of each of (n, d) to its k-th nearest other one."""
    result = np.empty(len(x))
    for rows, part in blocks(x):
        nearest = np.empty((len(part), 0))
        for columns, other in blocks(x):
            squared = squared_distances(part, other)
            if columns == rows:
                np.fill_diagonal(squared, np.inf)  # an image is not its own neighbor
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
