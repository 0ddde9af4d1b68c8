"""Precision, recall, density and coverage by nearest neighbors in feature space.

Distances are computed block by block: memory does not grow with the square of n.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roentgen.errors import InputError
from roentgen.metrics.estimates import Floats
from roentgen.metrics.features.feature_set import Features, blocks


@dataclass(frozen=True, kw_only=True)
class Neighborhoods:
    """Membership in neighborhoods, image by image: balls that reach to the k-th neighbor."""

    density: Floats  # (m,) number of real neighborhoods around a synthetic image, over k
    recalled: NDArray[np.bool_]  # (n,) whether a synthetic neighborhood contains the real image
    covered: NDArray[np.bool_]  # (n,) whether the real neighborhood contains a synthetic image

    def per_image(self) -> dict[str, Floats]:
        """The values of which each measure is the mean, (m,) precision and density, (n,) others."""
        return {
            "precision": (self.density > 0).astype(np.float64),
            "recall": self.recalled.astype(np.float64),
            "density": self.density,
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

    Features are (n, d) and (m, d). Neighborhoods are closed; one of radius 0, of an image with k
    copies or more, counts k / (its copies and itself) in the density, which is its expectation if
    ties are broken at random: so density is 1 for equal sets with copies too. Raises InputError
    unless n and m are above k and all features are finite.
    """
    found = neighborhoods(real, synthetic, k=k).per_image()
    return Prdc(**{name: float(values.mean()) for name, values in found.items()})


def neighborhoods(
    real: Features, synthetic: Features, *, k: int, reach_real: Floats | None = None
) -> Neighborhoods:
    """The neighborhoods of both sets, and the images within them.

    `reach_real` are the real set's `kth_distances`, if known. Raises InputError as `prdc` does.
    """
    sizes = len(real), len(synthetic)
    if min(sizes) <= k:
        raise InputError(f"{k} neighbors need more than {k} images, not {sizes[0]}, {sizes[1]}")
    reach_real = kth_distances(real, k) if reach_real is None else reach_real
    reach_synthetic = kth_distances(synthetic, k)
    share = np.minimum(1 / k, 1 / _copies(real, reach_real))
    density = np.zeros(len(synthetic))
    recalled, covered = np.zeros(len(real), dtype=bool), np.zeros(len(real), dtype=bool)
    for rows, x in blocks(real):
        nearest = np.full(len(x), np.inf)
        for columns, y in blocks(synthetic):
            squared = squared_distances(x, y)
            density[columns] += share[rows] @ (squared <= reach_real[rows, None])
            recalled[rows] |= (squared <= reach_synthetic[columns]).any(axis=1)
            np.minimum(nearest, squared.min(axis=1), out=nearest)
        covered[rows] = nearest <= reach_real[rows]
    return Neighborhoods(density=density, recalled=recalled, covered=covered)


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


def _copies(x: Features, reach: Floats) -> Floats:
    """(n,): how many of (n, d) are equal to each whose k-th distance is 0, itself included."""
    result = np.ones(len(x))
    for rows, part in blocks(x):
        within = np.flatnonzero(reach[rows] == 0)
        if len(within):
            counts = [(squared_distances(part[within], y) == 0).sum(axis=1) for _, y in blocks(x)]
            result[rows.start + within] = np.sum(counts, axis=0)
    return result


def squared_distances(x: Floats, y: Floats) -> Floats:
    """Squared Euclidean distances (n, m) of (n, d) to (m, d); 0 within their rounding error."""
    squares_x, squares_y = np.sum(x**2, axis=1)[:, None], np.sum(y**2, axis=1)
    squared = x @ y.T
    squared *= -2
    squared += squares_x
    squared += squares_y
    rounding = x.shape[1] * np.finfo(np.float64).eps  # of a sum of d products, relative
    squared[squared <= rounding * squares_x + rounding * squares_y] = 0
    return squared
