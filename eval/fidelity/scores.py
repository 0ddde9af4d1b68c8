"""Distances of sets to held-out real radiographs, with the floor that other real ones reach.

FID is biased upwards, more so the smaller n, and neighborhoods shrink with n. So every set, and the
floor, is compared at the same number of images n with the same held-out radiographs: they share the
bias, and only the excess over the floor is due to the images.

The floor is radiographs of the train split: other patients, the same source, and at least as many
as in any set. Halves of the held-out radiographs would give a floor at n / 2 only, at which no set
is compared; they test whether the two splits are alike (`halves`).
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.fidelity.two_sample import two_sample_auroc
from roentgen.metrics.estimates import (
    Estimate,
    Floats,
    NotMeasured,
    bootstrap_weights,
    count_patients,
    normal_estimate,
    normal_interval,
    share_of_images,
)
from roentgen.metrics.features.feature_set import FeatureSet
from roentgen.metrics.features.fid_at_n import (
    distances_by_n,
    extrapolated,
    fid_replicates,
    matched_distance,
    random_subsets,
)
from roentgen.metrics.features.frechet import Sample, sample_distance
from roentgen.metrics.features.kernel_distances import cmmds, kernel_distances
from roentgen.metrics.features.prdc import kth_distances, neighborhoods
from roentgen.randomness import derive_seed, numpy_generator

Weights = NDArray[np.int32]
Estimates = dict[str, Estimate]
FLOOR = "floor"
CURVE_PARTS, CURVE_LEAST = 8, 20  # of FID by n


def fidelity(
    sets: Mapping[str, FeatureSet],
    train: FeatureSet,
    test: FeatureSet,
    *,
    k: int,
    clip: bool,
    subsets: int,
    samples: int,
    seed: int,
) -> dict[str, Any]:
    """All distances of each set and of the floor to the held-out radiographs, on one extractor.

    `k` bounds neighborhoods; CMMD is measured on features of `clip` models only.
    """
    n = min(len(train), *(len(item) for item in sets.values()))
    compared = {**sets, FLOOR: train}
    drawn = {
        name: item.take(random_subsets(item, n, 1, seed)[0]) for name, item in compared.items()
    }
    reference = Sample(test.features)
    result: dict[str, Any] = {"n": n, "n_reference": len(test)}
    patients = {name: count_patients(item.patients) for name, item in drawn.items()}
    result |= _fid(compared, test, n, patients, subsets=subsets, samples=samples, seed=seed)
    result["fid_extrapolated"] = {
        name: extrapolated(item, test, seed, name) for name, item in drawn.items()
    }
    parts = {
        name: distances_by_n(item, reference, seed, name, most=CURVE_PARTS, least=CURVE_LEAST)
        for name, item in drawn.items()
    }
    # At n it is FID itself, which of a larger set is a mean over subsets and not of the first.
    result["fid_by_n"] = {
        name: [
            {"n": n, "fid": result["fid"][name].value},
            *({"n": size, "fid": value} for size, value in points[1:]),
        ]
        for name, points in parts.items()
    }
    result |= kernels(drawn, test, clip=clip, samples=samples, seed=seed)
    result |= _prdc(drawn, test, k=k, samples=samples, seed=seed)
    result["two_sample"] = {
        name: two_sample_auroc(item, test, samples=samples, seed=seed, name=name)
        for name, item in drawn.items()
    }
    result["halves"] = halves(train, test, subsets, seed)
    return result


def kernels(
    sets: Mapping[str, FeatureSet], test: FeatureSet, *, clip: bool, samples: int, seed: int
) -> dict[str, Estimates]:
    """KID and CMMD of each set; intervals as FID's."""
    result: dict[str, Estimates] = {"kid": {}, "cmmd": {}}
    held_out = _with_ones(test, samples, derive_seed(seed, "fid reference"))
    measures: dict[str, Callable[..., Floats]] = {"kid": kernel_distances}
    if clip:
        measures["cmmd"] = cmmds
    for name, item in sets.items():
        weights = _with_ones(item, samples, derive_seed(seed, "fid", name))
        result["cmmd"][name] = NotMeasured(
            "needs features of a CLIP model", len(item), count_patients(item.patients)
        )
        for measure, distances in measures.items():
            values = distances(item.features, test.features, weights, held_out)
            # An unbiased squared distance is below 0 for half of equal sets; the truth never is.
            result[measure][name] = normal_estimate(
                values[0],
                values[1:],
                len(item),
                patients=count_patients(item.patients),
                least=0.0,
            )
    return result


def halves(train: FeatureSet, test: FeatureSet, subsets: int, seed: int) -> Estimates:
    """FID between halves of the held-out radiographs ("within"), and of train ones to a half.

    Halves share no patient; "across" uses as many train radiographs as the other half has. Means
    over `subsets` splits. If "across" is well above "within", the two splits differ and the floor
    is too high.
    """
    found: list[tuple[float, float]] = []
    size = patients = 0
    for k in range(subsets):
        generator = numpy_generator(seed, "fid halves", k)
        names, member = np.unique(np.asarray(test.patients), return_inverse=True)
        in_first = (generator.permutation(len(names)) < len(names) / 2)[member]
        first, second = np.flatnonzero(in_first), np.flatnonzero(~in_first)
        size, patients = min(len(first), len(second), len(train)), len(names) // 2
        if size < 2:
            few = NotMeasured(
                "the held-out radiographs are of too few patients", len(test), len(names)
            )
            return {"within": few, "across": few}
        reference = Sample(test.take(second).features)
        others = np.sort(generator.permutation(len(train))[:size])
        half = np.sort(generator.permutation(first)[:size])
        found.append(
            (
                sample_distance(Sample(test.take(half).features), reference),
                sample_distance(Sample(train.take(others).features), reference),
            )
        )
    within, across = np.mean(found, axis=0)
    return {
        "within": Estimate(value=float(within), n=size, patients=patients),
        "across": Estimate(value=float(across), n=size, patients=patients),
    }


def _fid(
    compared: Mapping[str, FeatureSet],
    test: FeatureSet,
    n: int,
    patients: Mapping[str, int],
    *,
    subsets: int,
    samples: int,
    seed: int,
) -> dict[str, Estimates]:
    """FID, its excess over the floor, and the share of the first set's gap that others close.

    `patients` are the distinct ones of each set among n images.
    """
    names = [name for name in compared if name != FLOOR]
    reference = Sample(test.features)
    values = {
        name: matched_distance(item, reference, n, subsets, seed) for name, item in compared.items()
    }
    replicates = fid_replicates(compared, test, n, samples, seed)
    return {
        "fid": {
            name: normal_estimate(
                values[name], replicates[name], n, patients=patients[name], least=0.0
            )
            for name in compared
        },
        "excess": {
            name: normal_estimate(
                values[name] - values[FLOOR],
                replicates[name] - replicates[FLOOR],
                n,
                patients=patients[name],
            )
            for name in names
        },
        "gap_closed": _gap_closed(values, replicates, n, patients),
    }


def _prdc(
    sets: Mapping[str, FeatureSet], test: FeatureSet, *, k: int, samples: int, seed: int
) -> dict[str, Estimates]:
    """Precision, recall, density and coverage; neighborhoods are fixed in all resamples."""
    result: dict[str, Estimates] = {}
    reach = kth_distances(test.features, k)
    for name, item in sets.items():
        weights = bootstrap_weights(item.patients, samples, derive_seed(seed, "fid", name))
        found = neighborhoods(test.features, item.features, k=k, reach_real=reach).per_image()
        for measure, values in found.items():
            counted = item if measure in ("precision", "density") else test
            if measure == "density":
                estimate = normal_estimate(
                    float(values.mean()),
                    (weights @ values) / weights.sum(axis=1),
                    len(item),
                    patients=count_patients(item.patients),
                    least=0.0,
                )
            else:
                estimate = share_of_images(values, counted.patients)
            result.setdefault(measure, {})[name] = estimate
    return result


def _with_ones(item: FeatureSet, samples: int, seed: int) -> Weights:
    """(1 + samples, n): every image once, then resamples of patients."""
    weights = bootstrap_weights(item.patients, samples, seed)
    return np.concatenate([np.ones_like(weights[:1]), weights])


def _gap_closed(
    values: Mapping[str, float],
    replicates: Mapping[str, Floats],
    n: int,
    patients: Mapping[str, int],
) -> Estimates:
    """For each set but the first: the share of the first's excess over the floor it closes.

    At most 1, and negative where a set is farther than the first.
    """
    result: dict[str, Estimate] = {}
    first, *others = (name for name in values if name != FLOOR)
    before, excess_before = values[first] - values[FLOOR], replicates[first] - replicates[FLOOR]
    certain = normal_interval(before, excess_before)[0] > 0
    for name in others:
        if not certain:
            why = f"{first!r} has no excess over the floor, or none beyond its interval"
            result[name] = NotMeasured(why, n, patients[name])
            continue
        remaining = (values[name] - values[FLOOR]) / before
        excess_after = replicates[name] - replicates[FLOOR]
        # The ratio to first order: a resample with an excess near zero must not set the interval.
        share = 1 - remaining
        shares = share - (excess_after - remaining * excess_before) / before
        result[name] = normal_estimate(share, shares, n, patients=patients[name], most=1.0)
    return result
