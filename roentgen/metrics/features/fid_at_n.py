"""FID at a common number of images n, with bootstrap resamples of patients, and extrapolated in n.

FID is biased upwards, more so the smaller n: sets are comparable only at the same n, or without the
bias (Chong and Forsyth 2020), which falls as 1/n in each of the two sets. A set split into k parts
gives k distances at n/k, and their mean is linear in k: the line is extrapolated to k = 0. Chong
and Forsyth do so for the synthetic set alone, with a reference of 50,000 images; held-out images
are few, so here each of the two sets is split in turn.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roentgen.metrics.estimates import (
    Estimate,
    Floats,
    NotMeasured,
    bootstrap_weights,
    count_patients,
    normal_estimate,
)
from roentgen.metrics.features.feature_set import FeatureSet
from roentgen.metrics.features.frechet import Sample, sample_distance
from roentgen.randomness import derive_seed, numpy_generator

MOST_PARTS = 3  # of the fitted line
JACKKNIFE_GROUPS = 20  # of patients, left out one at a time
REFERENCE = "reference"


def random_subsets(item: FeatureSet, n: int, subsets: int, seed: int) -> list[NDArray[np.int64]]:
    """The rows of random subsets of n, or all rows once if there are only n."""
    if len(item) == n:
        return [np.arange(n)]
    generator = numpy_generator(seed, "fid subsets")
    return [np.sort(generator.permutation(len(item))[:n]) for _ in range(subsets)]


def matched_distance(item: FeatureSet, reference: Sample, n: int, subsets: int, seed: int) -> float:
    """FID at n images; of a larger set the mean over `subsets` random ones of n."""
    picks = random_subsets(item, n, subsets, seed)
    return float(
        np.mean([sample_distance(Sample(item.take(rows).features), reference) for rows in picks])
    )


def fid_replicates(
    sets: Mapping[str, FeatureSet], test: FeatureSet, n: int, samples: int, seed: int
) -> dict[str, Floats]:
    """FID of resampled sets against resampled held-out images, which all sets share."""
    held_out = bootstrap_weights(test.patients, samples, derive_seed(seed, "fid reference"))
    resamples = {
        name: bootstrap_weights(item.patients, samples, derive_seed(seed, "fid", name))
        for name, item in sets.items()
    }
    result = {name: np.empty(samples) for name in sets}
    for k in range(samples):
        reference = Sample(test.features, held_out[k])
        for name, item in sets.items():
            counts = _thinned(resamples[name][k], n, seed, name, k)
            result[name][k] = sample_distance(Sample(item.features, counts), reference)
    return result


def _thinned(counts: NDArray[Any], n: int, seed: int, name: str, k: int) -> NDArray[np.int64]:
    """At most n of the resampled images, at random."""
    drawn = np.repeat(np.arange(len(counts)), counts)
    if len(drawn) > n:
        drawn = numpy_generator(seed, "fid thinned", name, k).permutation(drawn)[:n]
    return np.bincount(drawn, minlength=len(counts))


def distances_by_n(
    images: FeatureSet, reference: Sample, seed: int, name: str, *, most: int, least: int
) -> list[tuple[int, float]]:
    """(n / k, mean distance of k parts) for k up to `most` while parts have `least` images."""
    size, images = len(images), _shuffled(images, seed, name)
    return [
        (size // k, _mean_distance(images, reference, k))
        for k in range(1, most + 1)
        if size // k >= least
    ]


def extrapolated(images: FeatureSet, reference: FeatureSet, seed: int, name: str) -> Estimate:
    """The distance of infinitely many images to infinitely many reference images.

    The line, whose intercept is at least 0, holds while parts have at least as many images as the
    features have dimensions; with fewer than two such parts it is not measured. Interval: 1.96
    standard deviations of a jackknife over 20 groups of patients on both sides.
    """
    n, m, d = len(images), len(reference), images.features.shape[1]
    k = min(MOST_PARTS, n // d, m // d)
    if k < 2:
        return NotMeasured(
            f"needs twice as many images and held-out radiographs as dimensions ({2 * d})",
            n,
            count_patients(images.patients),
        )
    # Shuffled once, so that jackknifed sets are split at the same places.
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
    """A distance, at least 0, with its interval by a jackknife over 20 groups of patients."""
    value = distance(images, reference)
    patients = count_patients(images.patients)
    if min(patients, count_patients(reference.patients)) < JACKKNIFE_GROUPS:
        note = f"no interval: fewer than {JACKKNIFE_GROUPS} patients"
        return Estimate(value=max(0.0, value), n=len(images), patients=patients, note=note)
    one, other = _groups(images.patients, seed, name), _groups(reference.patients, seed, REFERENCE)
    left = [
        distance(images.take(np.flatnonzero(one != g)), reference.take(np.flatnonzero(other != g)))
        for g in range(JACKKNIFE_GROUPS)
    ]
    # The jackknife's variance is (g - 1)^2 / g times that among its g values.
    replicates = np.array(left) * (JACKKNIFE_GROUPS - 1) / JACKKNIFE_GROUPS**0.5
    return normal_estimate(value, replicates, len(images), patients=patients, least=0.0)


def _groups(patients: Sequence[str], seed: int, name: str) -> NDArray[np.int64]:
    """Which of at most 20 groups each row's patient is in."""
    names, member = np.unique(np.asarray(patients), return_inverse=True)
    draws = numpy_generator(seed, "fid groups", name)
    of_patient: NDArray[np.int64] = draws.permutation(np.arange(len(names)) % JACKKNIFE_GROUPS)
    return of_patient[member]


def _shuffled(item: FeatureSet, seed: int, name: str) -> FeatureSet:
    return item.take(numpy_generator(seed, "fid parts", name).permutation(len(item)))


def _intercept(images: FeatureSet, reference: FeatureSet, k: int) -> float:
    """The intercept of the plane through the distances by parts of one set and of the other."""
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
    """The mean distance of k consecutive parts."""
    parts = np.array_split(np.arange(len(images)), k)
    samples = (Sample(images.take(part).features) for part in parts)
    return float(np.mean([sample_distance(sample, reference) for sample in samples]))
