"""Demographic probes: sex and age read from a network's features by linear regression."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from roentgen.metrics.estimates import Floats, NotMeasured
from roentgen.record.radiograph import Radiograph
from roentgen.vision.linear_probe import Probe, fit_logistic, fit_ridge

Attribute = Literal["sex", "age"]
ViewGroup = Literal["frontal", "lateral"]
VIEW_GROUPS: tuple[ViewGroup, ...] = get_args(ViewGroup)
PENALTIES: Mapping[Attribute, float] = {"sex": 0.001, "age": 0.01}
PROBE_METHODS = (
    "logistic (sex) and ridge regression (age) on standardized features, penalties "
    f"{PENALTIES['sex']:g} and {PENALTIES['age']:g}, one for lateral views and one for others"
)


@dataclass(frozen=True, kw_only=True)
class DemographicProbes:
    """Probes by attribute and view group; those with too few cases are absent."""

    probes: Mapping[tuple[Attribute, ViewGroup], Probe]
    not_learned: Mapping[Attribute, NotMeasured]  # attributes without any probe
    commonest_sex: str
    median_age: float  # years; NaN where no age is known

    def read(
        self,
        attribute: Attribute,
        features: NDArray[np.floating],
        radiographs: Sequence[Radiograph],
    ) -> Floats:
        """(N,) of features (N, d): the log odds of M, or years.

        NaN where a radiograph does not have the attribute, or its view group no probe.
        """
        result = np.full(len(radiographs), np.nan)
        for group in VIEW_GROUPS:
            probe = self.probes.get((attribute, group))
            rows = known(radiographs, attribute, group)
            if probe is not None:
                result[rows] = probe(features[rows])
        return result


def fit_demographics(
    features: NDArray[np.floating], radiographs: Sequence[Radiograph], min_cases: int
) -> DemographicProbes:
    """Probes of features (N, d), where `min_cases` of each sex or twice as many ages are known."""
    is_male, ages = males(radiographs), ages_of(radiographs)
    probes: dict[tuple[Attribute, ViewGroup], Probe] = {}
    for attribute, group in product(get_args(Attribute), VIEW_GROUPS):
        rows = known(radiographs, attribute, group)
        if cases(radiographs, attribute, group) < min_cases:
            continue
        if attribute == "sex":
            probe = fit_logistic(features[rows], is_male[rows], PENALTIES["sex"])
        else:
            probe = fit_ridge(features[rows], ages[rows], PENALTIES["age"])
        probes[attribute, group] = probe
    counts = {sex: sum(r.sex == sex for r in radiographs) for sex in ("F", "M")}
    ages = ages[~np.isnan(ages)]
    few: dict[Attribute, str] = {
        "sex": f"only {counts['F']} F and {counts['M']} M to train on (at least {min_cases} "
        "needed)",
        "age": f"only {len(ages)} ages to train on (at least {2 * min_cases} needed)",
    }
    learned = {attribute for attribute, _ in probes}
    return DemographicProbes(
        probes=probes,
        not_learned={a: NotMeasured(reason) for a, reason in few.items() if a not in learned},
        commonest_sex=max(counts, key=lambda sex: counts[sex]),
        median_age=float(np.median(ages)) if len(ages) else np.nan,
    )


def known(
    radiographs: Sequence[Radiograph], attribute: Attribute, group: ViewGroup
) -> NDArray[np.bool_]:
    """(N,): radiographs of the view group that have the attribute."""
    return np.array(
        [
            getattr(r, attribute) is not None and (r.view == "LATERAL") == (group == "lateral")
            for r in radiographs
        ],
        dtype=bool,
    )


def cases(radiographs: Sequence[Radiograph], attribute: Attribute, group: ViewGroup) -> int:
    """The radiographs of the rarer sex, or half of those with an age."""
    rows = known(radiographs, attribute, group)
    male = males(radiographs)[rows]
    return int(min(male.sum(), (~male).sum()) if attribute == "sex" else rows.sum() // 2)


def males(radiographs: Sequence[Radiograph]) -> NDArray[np.bool_]:
    """(N,): whether the sex is M."""
    return np.array([r.sex == "M" for r in radiographs], dtype=bool)


def ages_of(radiographs: Sequence[Radiograph]) -> Floats:
    """(N,): years, NaN where not known."""
    return np.array([np.nan if r.age is None else r.age for r in radiographs], dtype=np.float64)
