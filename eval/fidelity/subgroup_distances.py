"""Distances within subgroups: a finding, a view, a sex, an age band, a race.

FID of few images is biased upwards. So within one attribute all subgroups, all sets and the floor
are compared at the same n with the same number of held-out radiographs, sampled from larger ones. A
subgroup that is too small is listed as not measured, and does not lower n for the others.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.fidelity.scores import FLOOR, kernels
from roentgen.metrics.estimates import Estimate, NotMeasured, count_patients
from roentgen.metrics.features.feature_set import FeatureSet
from roentgen.metrics.features.fid_at_n import REFERENCE, jackknifed
from roentgen.metrics.features.frechet import frechet_distance_of_features
from roentgen.randomness import derive_seed, numpy_generator

Members = dict[str, dict[str, NDArray[np.int64]]]  # subgroup -> set -> rows


@dataclass(frozen=True, kw_only=True)
class SubgroupDistances:
    """The distances of one subgroup, of each set and the floor."""

    n: int  # images of each set
    n_reference: int  # held-out radiographs
    fid: Mapping[str, Estimate]
    kid: Mapping[str, Estimate]


def by_subgroup(
    sets: Mapping[str, FeatureSet],
    train: FeatureSet,
    test: FeatureSet,
    members: Members,
    *,
    least: int,
    most: int,
    samples: int,
    seed: int,
) -> dict[str, SubgroupDistances]:
    """The distances of the subgroups of one attribute.

    `members` are the rows of each subgroup in each set, in FLOOR and in REFERENCE. A subgroup needs
    `least` patients in each; of more than `most` images, that many are sampled.
    """
    every = {**sets, FLOOR: train, REFERENCE: test}
    enough = {
        group: rows
        for group, rows in members.items()
        if min(_patients(every, rows).values()) >= least
    }
    sizes = [len(rows[name]) for rows in enough.values() for name in every if name != REFERENCE]
    n = min([most, *sizes])
    m = min([most, *(len(rows[REFERENCE]) for rows in enough.values())])
    result = {}
    for group, rows in members.items():
        if group not in enough:
            counts = _patients(every, rows)
            why = _few(counts, least)
            missing = {
                name: NotMeasured(why, len(rows[name]), counts[name]) for name in (*sets, FLOOR)
            }
            result[group] = SubgroupDistances(n=0, n_reference=0, fid=missing, kid=missing)
            continue
        drawn = {
            name: item.take(_drawn(rows[name], m if name == REFERENCE else n, seed, group, name))
            for name, item in every.items()
        }
        reference = drawn.pop(REFERENCE)
        part = derive_seed(seed, "groups", group)
        fid = {
            name: jackknifed(_distance, item, reference, part, name) for name, item in drawn.items()
        }
        kid = kernels(drawn, reference, clip=False, samples=samples, seed=part)["kid"]
        result[group] = SubgroupDistances(n=n, n_reference=m, fid=fid, kid=kid)
    return result


def _distance(a: FeatureSet, b: FeatureSet) -> float:
    return frechet_distance_of_features(a.features, b.features)


def _drawn(rows: NDArray[np.int64], n: int, seed: int, group: str, name: str) -> NDArray[np.int64]:
    return np.sort(numpy_generator(seed, "fid group", group, name).permutation(rows)[:n])


def _patients(
    sets: Mapping[str, FeatureSet], rows: Mapping[str, NDArray[np.int64]]
) -> dict[str, int]:
    """The distinct patients of these rows of each set."""
    return {name: count_patients(item.take(rows[name]).patients) for name, item in sets.items()}


def _few(counts: Mapping[str, int], least: int) -> str:
    name, count = min(counts.items(), key=lambda item: item[1])
    place = {FLOOR: "the train split", REFERENCE: "the test split"}.get(name, repr(name))
    return f"only {count} patients in {place} (at least {least} needed)"
