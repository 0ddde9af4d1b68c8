"""Linear probes: what a weighted sum reads from a network's features, sex and age among it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from roentgen.metrics.estimates import Floats, NotMeasured, count_patients
from roentgen.record.radiograph import Radiograph

Attribute = Literal["sex", "age"]
ViewGroup = Literal["frontal", "lateral"]
VIEW_GROUPS: tuple[ViewGroup, ...] = get_args(ViewGroup)
PENALTIES: Mapping[Attribute, float] = {"sex": 0.001, "age": 0.01}
PROBE_METHODS = (
    "logistic (sex) and ridge regression (age) on standardized features, penalties "
    f"{PENALTIES['sex']:g} and {PENALTIES['age']:g}, one for lateral views and one for others"
)


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A weighted sum of standardised features and a constant."""

    mean: Floats  # d
    scale: Floats  # d
    weights: Floats  # d
    constant: float

    def __call__(self, features: NDArray[Any]) -> Floats:
        """(N,) of (N, d): a number, or of a logistic probe the log odds."""
        result: Floats = ((features - self.mean) / self.scale) @ self.weights + self.constant
        return result


def fit_ridge(features: NDArray[Any], values: Floats, strength: float) -> Probe:
    """Least mean squared error / 2 + strength / 2 * |weights|^2, features standardised."""
    mean, scale, x = _standardised(features)
    constant = float(values.mean())
    n, d = x.shape
    normal = x.T @ x / n + strength * np.eye(d)
    weights = np.linalg.solve(normal, x.T @ (values - constant) / n)
    return Probe(mean=mean, scale=scale, weights=weights, constant=constant)


def fit_logistic(features: NDArray[Any], positive: NDArray[np.bool_], strength: float) -> Probe:
    """Least mean log loss + strength / 2 * |weights|^2, features standardised.

    Both kinds must be there.
    """
    mean, scale, x = _standardised(features)
    y = positive.astype(np.float64)

    def loss(parameters: Floats) -> tuple[float, Floats]:
        weights, constant = parameters[:-1], parameters[-1]
        odds = x @ weights + constant
        value = np.mean(np.logaddexp(0, odds) - y * odds) + strength / 2 * weights @ weights
        error = (expit(odds) - y) / len(y)
        return float(value), np.append(x.T @ error + strength * weights, error.sum())

    share = y.mean()
    start = np.append(np.zeros(x.shape[1]), np.log(share / (1 - share)))
    options = {"maxiter": 2000, "gtol": 1e-7, "ftol": 1e-14}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options=options)
    return Probe(mean=mean, scale=scale, weights=found.x[:-1], constant=float(found.x[-1]))


def _standardised(features: NDArray[Any]) -> tuple[Floats, Floats, Floats]:
    """Mean and deviation (1 where a feature is constant), and the features by them."""
    x = features.astype(np.float64)
    mean, scale = x.mean(axis=0), x.std(axis=0)
    scale[scale < 1e-12 * np.abs(x).max(initial=1.0)] = 1.0
    return mean, scale, (x - mean) / scale


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
    """Probes of features (N, d), where enough patients are known.

    That is `min_cases` of each sex, or twice as many with an age.
    """
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
    images = {sex: [r for r in radiographs if r.sex == sex] for sex in ("F", "M")}
    counts = {sex: count_patients(r.patient_id for r in some) for sex, some in images.items()}
    aged = count_patients(r.patient_id for r in radiographs if r.age is not None)
    ages = ages[~np.isnan(ages)]
    few: dict[Attribute, str] = {
        "sex": f"only {counts['F']} F and {counts['M']} M patients to train on (at least "
        f"{min_cases} needed)",
        "age": f"only {aged} patients with an age to train on (at least {2 * min_cases} needed)",
    }
    learned = {attribute for attribute, _ in probes}
    return DemographicProbes(
        probes=probes,
        not_learned={a: NotMeasured(reason) for a, reason in few.items() if a not in learned},
        commonest_sex=max(images, key=lambda sex: len(images[sex])),
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
    """The patients of the rarer sex, or half of those with an age."""
    rows = known(radiographs, attribute, group)
    chosen = [radiograph for radiograph, yes in zip(radiographs, rows, strict=True) if yes]
    if attribute == "age":
        return count_patients(r.patient_id for r in chosen) // 2
    return min(count_patients(r.patient_id for r in chosen if r.sex == sex) for sex in ("F", "M"))


def males(radiographs: Sequence[Radiograph]) -> NDArray[np.bool_]:
    """(N,): whether the sex is M."""
    return np.array([r.sex == "M" for r in radiographs], dtype=bool)


def ages_of(radiographs: Sequence[Radiograph]) -> Floats:
    """(N,): years, NaN where not known."""
    return np.array([np.nan if r.age is None else r.age for r in radiographs], dtype=np.float64)
