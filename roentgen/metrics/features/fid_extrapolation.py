"""FID without the bias of few images: extrapolated to infinitely many (Chong and Forsyth 2020).

The bias falls as 1/n in each of the two sets. A set cut into k parts gives k distances at n/k, each
image used once, and their mean lies on a line over k; that line is followed to k = 0. Chong and
Forsyth do so for the synthetic set alone, whose reference has 50,000 images; held-out films are
few, so both sets are cut here, each in turn.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roentgen.metrics.estimates import Estimate, NotMeasured, normal_interval
from roentgen.metrics.features.feature_set import FeatureSet
from roentgen.metrics.features.frechet import Sample, sample_distance
from roentgen.randomness import numpy_generator

MOST_PARTS = 3  # that the line is drawn through
GROUPS = 20  # of patients, of which a jackknife leaves out one at a time
REFERENCE = "reference"


def distances_by_n(
    images: FeatureSet, reference: Sample, seed: int, name: str, *, most: int, least: int
) -> list[tuple[int, float]]:
    """(n / k, mean distance of the k parts) for k up to `most`, while parts have `least` images."""
    size, images = len(images), _shuffled(images, seed, name)
    return [
        (size // k, _mean_distance(images, reference, k))
        for k in range(1, most + 1)
        if size // k >= least
    ]


def extrapolated(images: FeatureSet, reference: FeatureSet, seed: int, name: str) -> Estimate:
    """The distance of infinitely many images to infinitely many reference films.

    The line holds where parts have at least as many images as the features have dimensions; with
    fewer than two such parts it is not measured. Interval: 1.96 standard deviations of a jackknife
    over 20 groups of patients on both sides.
    """
    n, m, d = len(images), len(reference), images.features.shape[1]
    k = min(MOST_PARTS, n // d, m // d)
    if k < 2:
        return NotMeasured(
            f"needs twice as many images and held-out films as dimensions ({2 * d})", n
        )
    # Shuffled once, so that sets with a group left out are cut at the same places.
    images, reference = _shuffled(images, seed, name), _shuffled(reference, seed, REFERENCE)
    return jackknifed(
        lambda some, others: _intercept(some, others, k), images, reference, seed, name
    )


def jackknifed(
    distance: Callable[[FeatureSet, FeatureSet], float],
    images: FeatureSet,
    reference: FeatureSet,
    seed: int,
    name: str,
) -> Estimate:
    """A distance with the interval by leaving out one of 20 groups of patients at a time."""
    value = distance(images, reference)
    if min(len(set(item.patients)) for item in (images, reference)) < GROUPS:
        note = f"no interval: fewer than {GROUPS} patients"
        return Estimate(value=value, n=len(images), note=note)
    one, other = _groups(images.patients, seed, name), _groups(reference.patients, seed, REFERENCE)
    left = [
        distance(images.take(np.flatnonzero(one != g)), reference.take(np.flatnonzero(other != g)))
        for g in range(GROUPS)
    ]
    # The jackknife's variance is (g - 1)^2 / g times that among its g values.
    low, high = normal_interval(value, np.array(left) * (GROUPS - 1) / GROUPS**0.5)
    return Estimate(value=value, low=low, high=high, n=len(images))


def _groups(patients: Sequence[str], seed: int, name: str) -> NDArray[np.int64]:
    """Which of at most 20 groups each row's patient is in."""
    names, member = np.unique(np.asarray(patients), return_inverse=True)
    draws = numpy_generator(seed, "fid groups", name)
    of_patient: NDArray[np.int64] = draws.permutation(np.arange(len(names)) % GROUPS)
    return of_patient[member]


def _shuffled(item: FeatureSet, seed: int, name: str) -> FeatureSet:
    return item.take(numpy_generator(seed, "fid parts", name).permutation(len(item)))


def _intercept(images: FeatureSet, reference: FeatureSet, k: int) -> float:
    """The plane through the distances over the parts of one and of the other, at no parts."""
    made, real = Sample(images.features), Sample(reference.features)
    first = [_mean_distance(images, real, j) for j in range(1, k + 1)]
    second = [_mean_distance(reference, made, j) for j in range(2, k + 1)]
    j = np.arange(1, k + 1)
    ones = np.ones_like(j)
    design: NDArray[Any] = np.concatenate(
        [np.stack([ones, j, ones], axis=1), np.stack([ones, ones, j], axis=1)[1:]]
    )
    solution = np.linalg.lstsq(design, np.array(first + second), rcond=None)[0]
    return float(solution[0])


def _mean_distance(images: FeatureSet, reference: Sample, k: int) -> float:
    """Over k parts of the images, in their order."""
    parts = np.array_split(np.arange(len(images)), k)
    samples = (Sample(images.take(part).features) for part in parts)
    return float(np.mean([sample_distance(sample, reference) for sample in samples]))
