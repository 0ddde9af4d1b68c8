"""Whether sex and age are as asked: linear probes of the judge's features, fitted on real films."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

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
from roentgen.vision.linear_probe import Probe, fit_logistic, fit_ridge

PENALTIES = {"sex": 0.001, "age": 0.01}
Kind = Literal["frontal", "lateral"]
DEFINITION = (
    "Sex and age: logistic and ridge regression on the judge's standardised features (penalties "
    f"{PENALTIES['sex']:g} and {PENALTIES['age']:g}) fitted on the same real films, one for "
    "lateral films and one for others; error of age: mean absolute, in years. Floors: always the "
    "commonest sex of these films, always their median age."
)


@dataclass(frozen=True, kw_only=True)
class PatientProbes:
    """What reads sex and age from features, by kind of film; why one could not be learned."""

    sex: Mapping[Kind, Probe]  # positive: M
    no_sex: NotMeasured | None
    commonest: str  # sex
    age: Mapping[Kind, Probe]
    no_age: NotMeasured | None
    median: float  # years


def patient_probes(
    features: NDArray[np.floating], radiographs: Sequence[Radiograph], min_cases: int
) -> PatientProbes:
    """Fit on real films (N, d); a kind of film with too few cases has no probe."""
    sexes, ages, kinds = _sexes(radiographs), _ages(radiographs), _kinds(radiographs)
    counts = {sex: int((sexes == sex).sum()) for sex in ("F", "M")}
    sex: dict[Kind, Probe] = {}
    age: dict[Kind, Probe] = {}
    for kind in ("frontal", "lateral"):
        rows = (kinds == kind) & (sexes != "")
        if min((sexes[rows] == x).sum() for x in counts) >= min_cases:
            sex[kind] = fit_logistic(features[rows], sexes[rows] == "M", PENALTIES["sex"])
        rows = (kinds == kind) & ~np.isnan(ages)
        if rows.sum() >= 2 * min_cases:
            age[kind] = fit_ridge(features[rows], ages[rows], PENALTIES["age"])
    known = ages[~np.isnan(ages)]
    few = f"only {counts['F']} F and {counts['M']} M to train on (at least {min_cases} needed)"
    few_ages = f"only {len(known)} ages to train on (at least {2 * min_cases} needed)"
    return PatientProbes(
        sex=sex,
        no_sex=None if sex else NotMeasured(few),
        commonest=max(counts, key=lambda name: counts[name]),
        age=age,
        no_age=None if age else NotMeasured(few_ages),
        median=float(np.median(known)) if len(known) else np.nan,
    )


def patients_as_asked(
    probes: PatientProbes,
    features: NDArray[np.floating],
    radiographs: Sequence[Radiograph],
    weights: NDArray[np.integer],
) -> dict[str, Estimate]:
    """Sex and age of one set (N, d) with their floors; weights (1 + R, N) as for findings."""
    sexes, ages, kinds = _sexes(radiographs), _ages(radiographs), _kinds(radiographs)

    def read(
        by: Mapping[Kind, Probe], known: NDArray[np.bool_]
    ) -> tuple[Floats, NDArray[np.int64]]:
        """What the probes read, and of which rows."""
        rows = np.flatnonzero(known & np.isin(kinds, list(by)))
        said = np.empty(len(rows))
        for kind, probe in by.items():
            mine = kinds[rows] == kind
            said[mine] = probe(features[rows[mine]])
        return said, rows

    odds, rows = read(probes.sex, sexes != "")
    sex: Estimate
    floor: Estimate
    missing = probes.no_sex or (None if len(rows) else NotMeasured("no image has a sex"))
    if missing:
        sex = floor = NotMeasured(missing.reason, len(rows))
    else:
        true = sexes[rows]
        sex = proportion(int((np.where(odds > 0, "M", "F") == true).sum()), len(rows))
        floor = proportion(int((true == probes.commonest).sum()), len(rows))
    result = {"sex_accuracy": sex, "sex_floor": floor}
    years, rows = read(probes.age, ~np.isnan(ages))
    missing = probes.no_age or (None if len(rows) else NotMeasured("no image has an age"))
    age: Estimate
    if missing:
        age = floor = NotMeasured(missing.reason, len(rows))
    else:
        age = _mean(np.abs(years - ages[rows]), weights[:, rows])
        floor = _mean(np.abs(probes.median - ages[rows]), weights[:, rows])
    return {**result, "age_error": age, "age_floor": floor}


def _mean(values: Floats, weights: NDArray[np.integer]) -> Estimate:
    total = weights.sum(axis=1)
    means = np.divide(weights @ values, total, out=np.full(len(weights), np.nan), where=total > 0)
    low, high = percentile_interval(means[1:])
    return Estimate(value=float(means[0]), low=low, high=high, n=len(values))


def _kinds(radiographs: Sequence[Radiograph]) -> NDArray[np.str_]:
    return np.array(["lateral" if r.view == "LATERAL" else "frontal" for r in radiographs])


def _sexes(radiographs: Sequence[Radiograph]) -> NDArray[np.str_]:
    return np.array([r.sex or "" for r in radiographs])


def _ages(radiographs: Sequence[Radiograph]) -> Floats:
    return np.array([np.nan if r.age is None else r.age for r in radiographs])
