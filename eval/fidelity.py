"""How close a set is to held-out real films: FID and KID, with the floor real films reach.

FID of few images is biased upwards, the more the fewer. So every set, and the real films of the
floor, is compared at the same number of images n with the same held-out films: the bias is then
alike in all, and the excess over the floor is what is left.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.estimates import Estimate, bootstrap_weights, normal_interval
from eval.frechet import frechet_distance_of_features
from eval.kernel import kernel_distance
from roentgen.randomness import derive_seed, numpy_generator

Features = NDArray[np.float32]
Distance = Callable[[Features, Features], float]
FLOOR = "floor"


@dataclass(frozen=True, kw_only=True)
class FeatureSet:
    """Features (N, d) and the patient of each row, which is resampled as a whole."""

    features: Features
    patients: Sequence[str]


def fidelity(
    sets: Mapping[str, FeatureSet],
    train: FeatureSet,
    test: FeatureSet,
    *,
    subsets: int,
    samples: int,
    seed: int,
) -> dict[str, Any]:
    """FID and KID of each set and of the floor, the excess, and the share of it that was lost.

    The floor is real train films against held-out ones: other patients, the same source.
    """
    n = min(len(train.features), *(len(s.features) for s in sets.values()))
    compared = {**sets, FLOOR: train}
    values = {
        name: matched_distance(
            frechet_distance_of_features, item.features, test.features, n, subsets, seed
        )
        for name, item in compared.items()
    }
    replicates = _replicates(compared, test, n, samples, seed)
    estimates = {name: _estimate(values[name], replicates[name], n, least=0.0) for name in compared}
    excess = {
        name: _estimate(
            values[name] - values[FLOOR], replicates[name] - replicates[FLOOR], n, least=None
        )
        for name in sets
    }
    kernel = {
        name: Estimate(
            value=matched_distance(kernel_distance, item.features, test.features, n, subsets, seed),
            n=n,
        )
        for name, item in compared.items()
    }
    return {
        "n": n,
        "n_reference": len(test.features),
        "fid": estimates,
        "excess": excess,
        "excess_lost": _lost(values, replicates, list(sets), n),
        "kid": kernel,
    }


def matched_distance(
    distance: Distance, features: Features, reference: Features, n: int, subsets: int, seed: int
) -> float:
    """The distance at n images; of a larger set the mean over `subsets` random ones of n."""
    if len(features) == n:
        return distance(features, reference)
    draws = numpy_generator(seed, "fid subsets")
    picks = [draws.permutation(len(features))[:n] for _ in range(subsets)]
    return float(np.mean([distance(features[pick], reference) for pick in picks]))


def _replicates(
    sets: Mapping[str, FeatureSet], test: FeatureSet, n: int, samples: int, seed: int
) -> dict[str, NDArray[np.float64]]:
    """FID of resampled sets against resampled held-out films, the latter shared by all sets."""
    held_out = bootstrap_weights(test.patients, samples, derive_seed(seed, "fid reference"))
    resamples = {
        name: bootstrap_weights(item.patients, samples, derive_seed(seed, "fid", name))
        for name, item in sets.items()
    }
    result = {name: np.empty(samples) for name in sets}
    for k in range(samples):
        reference = np.repeat(test.features, held_out[k], axis=0)
        for name, item in sets.items():
            draw = np.repeat(np.arange(len(item.features)), resamples[name][k])
            if len(draw) > n:
                draw = numpy_generator(seed, "fid thinned", name, k).permutation(draw)[:n]
            result[name][k] = frechet_distance_of_features(item.features[draw], reference)
    return result


def _estimate(
    value: float, replicates: NDArray[np.float64], n: int, least: float | None
) -> Estimate:
    low, high = normal_interval(value, replicates)
    return Estimate(value=value, low=low if least is None else max(least, low), high=high, n=n)


def _lost(
    values: Mapping[str, float],
    replicates: Mapping[str, NDArray[np.float64]],
    names: Sequence[str],
    n: int,
) -> dict[str, Any]:
    """For each set but the first: which share of the first's excess over the floor it lost."""
    result = {}
    first, *others = names
    before = values[first] - values[FLOOR]
    for name in others:
        if before <= 0:
            note = f"not measured: {first!r} has no excess over the floor"
            result[name] = Estimate(value=None, n=n, note=note)
            continue
        kept = (values[name] - values[FLOOR]) / before
        excess_before = replicates[first] - replicates[FLOOR]
        excess_after = replicates[name] - replicates[FLOOR]
        # The ratio to first order: a resample whose excess is near zero must not rule the interval.
        share = 1 - kept
        shares = share - (excess_after - kept * excess_before) / before
        result[name] = _estimate(share, shares, n, least=None)
    return result
