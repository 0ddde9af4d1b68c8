"""Demographic accuracy: sex and age read from images against those requested, with floors."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from roentgen.metrics.estimates import (
    Estimate,
    Floats,
    NotMeasured,
    percentile_interval,
    proportion,
)
from roentgen.record.radiograph import Radiograph
from roentgen.vision.demographics import PROBE_METHODS, DemographicProbes, ages_of, males

DEMOGRAPHICS_METHODS = (
    f"Sex and age: {PROBE_METHODS}, fitted to the reference classifier's features of the "
    "radiographs that it was trained on; age error: mean absolute error in years. Floors: always "
    "the most common sex of these radiographs, always their median age."
)


def demographic_accuracy(
    probes: DemographicProbes,
    features: NDArray[np.floating],
    radiographs: Sequence[Radiograph],
    weights: NDArray[np.integer],
) -> dict[str, Estimate]:
    """Sex accuracy and age error of a set with features (N, d), and their floors.

    `weights` (1 + R, N) are ones and then resamples of patients.
    """
    odds = probes.read("sex", features, radiographs)
    rows = np.flatnonzero(~np.isnan(odds))
    sex: Estimate
    sex_floor: Estimate
    missing = probes.not_learned.get("sex")
    if missing or not len(rows):
        sex = sex_floor = missing or NotMeasured("no image has a sex")
    else:
        male = males(radiographs)[rows]
        sex = proportion(int(((odds[rows] > 0) == male).sum()), len(rows))
        sex_floor = proportion(int((male == (probes.commonest_sex == "M")).sum()), len(rows))
    years, ages = probes.read("age", features, radiographs), ages_of(radiographs)
    rows = np.flatnonzero(~np.isnan(years))
    age: Estimate
    age_floor: Estimate
    missing = probes.not_learned.get("age")
    if missing or not len(rows):
        age = age_floor = missing or NotMeasured("no image has an age")
    else:
        age = _mean(np.abs(years - ages)[rows], weights[:, rows])
        age_floor = _mean(np.abs(probes.median_age - ages)[rows], weights[:, rows])
    return {"sex_accuracy": sex, "sex_floor": sex_floor, "age_error": age, "age_floor": age_floor}


def _mean(values: Floats, weights: NDArray[np.integer]) -> Estimate:
    total = weights.sum(axis=1)
    means = np.divide(weights @ values, total, out=np.full(len(weights), np.nan), where=total > 0)
    low, high = percentile_interval(means[1:])
    return Estimate(value=float(means[0]), low=low, high=high, n=len(values))
