"""FID at a common number of images n, with bootstrap resamples of patients.

FID is biased upwards, more so the smaller n: sets are comparable only at the same n.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roentgen.metrics.estimates import bootstrap_weights
from roentgen.metrics.features.feature_set import FeatureSet
from roentgen.metrics.features.frechet import Sample, sample_distance
from roentgen.randomness import derive_seed, numpy_generator

Floats = NDArray[np.float64]


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
