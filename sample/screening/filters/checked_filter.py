"""Checked filters: a score for each image, whether it passes, and the failure reason.

Most filters make checks: numbers that are larger for worse images, defined where something was
requested. A check is standardized on held-out real radiographs of other patients for which it
holds, the worst check of an image is its score, and few real radiographs exceed the limit.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from roentgen.dataset.image_set import Images
from roentgen.errors import InputError
from roentgen.metrics.estimates import Floats, Threshold, calibrate
from roentgen.record.radiograph import Radiograph
from roentgen.vision.classifier import Classifier, Prediction

_LEAST = 1e-6  # probabilities are clipped to [this, 1 - this]


class PredictedImages:
    """Images with the requests made of them and a network's predictions, computed once."""

    def __init__(
        self, radiographs: Sequence[Radiograph], images: Images, classifier: Classifier | None
    ) -> None:
        self.radiographs, self.images = radiographs, images
        self.classifier = classifier

    @property
    def patients(self) -> list[str]:
        """The patient of each."""
        return [radiograph.patient_id for radiograph in self.radiographs]

    @cached_property
    def predictions(self) -> Prediction:
        """The classifier's probabilities."""
        assert self.classifier is not None
        return self.classifier.predict(self.images)

    @cached_property
    def features(self) -> NDArray[np.float32]:
        """The classifier's features (N, d)."""
        assert self.classifier is not None
        return self.classifier.features(self.images)


class FilterScores(NamedTuple):
    """A filter's scores of N images."""

    score: Floats  # (N,); larger is worse; NaN: nothing to check, which passes
    failure: list[str]  # the reason, in words that many images share; "": passes
    reason: list[str]  # the same with numbers
    similar_to: NDArray[np.int64] | None = None  # (N,): the row of the most similar original


class ScreeningFilter(Protocol):
    """One requirement of an image."""

    @property
    def name(self) -> str:
        """Its section of the configuration."""

    @property
    def limit(self) -> Threshold:
        """The score beyond which an image is dropped."""

    @property
    def definition(self) -> str:
        """The definition of the score, for the page."""

    def __call__(self, predicted: PredictedImages) -> FilterScores:
        """Score some images."""

    def about(self) -> dict[str, Any]:
        """Further facts for the summary, as JSON values."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check of a filter, and its unit for messages."""

    failure: str
    """The failure reason."""
    unit: str
    """The unit that `to_unit` gives."""
    to_unit: Callable[[float], float]
    """Converts the measured number to that unit."""
    neutral: float = -math.inf
    """Up to this measured number an image never fails: it agrees with the request."""


@dataclass(frozen=True, kw_only=True)
class CheckedFilter:
    """A filter of checks that are standardized on held-out real radiographs."""

    name: str
    definition: str
    checks: Sequence[Check]
    measure: Callable[[PredictedImages], Floats]  # (N, checks); larger is worse; NaN: not requested
    mean: Floats  # (checks,)
    deviation: Floats  # (checks,)
    limit: Threshold  # of the worst check, in deviations
    radiographs: NDArray[np.int64]  # (checks,) on which each is standardized
    more: dict[str, Any]

    def __call__(self, predicted: PredictedImages) -> FilterScores:
        """Score some images."""
        values = self.measure(predicted)
        standardized = (values - self.mean) / self.deviation
        spared = values <= [check.neutral for check in self.checks]
        worst, score = worst_check(
            np.where(spared, np.minimum(standardized, self.limit.value), standardized)
        )
        failure, reason = [""] * len(score), [""] * len(score)
        limits = self.limits()
        for row in np.flatnonzero(score > self.limit.value):
            k = int(worst[row])
            check = self.checks[k]
            failure[row] = check.failure
            value, limit = check.to_unit(values[row, k]), check.to_unit(limits[k])
            reason[row] = f"{check.failure}: {check.unit} {value:.3g}, limit {limit:.3g}"
        return FilterScores(score, failure, reason)

    def limits(self) -> Floats:
        """(checks,): the measured number beyond which each check alone drops an image."""
        alone = self.mean + self.limit.value * self.deviation
        return np.maximum(alone, [check.neutral for check in self.checks])

    def about(self) -> dict[str, Any]:
        """Each check's limit in its own unit, and the number of radiographs it is set on."""
        limits = self.limits()
        return {
            "checks": {
                check.failure: {
                    "unit": check.unit,
                    "limit": float(check.to_unit(limits[k])),
                    "radiographs": int(self.radiographs[k]),
                }
                for k, check in enumerate(self.checks)
            },
            **self.more,
        }


def checked_filter(
    name: str,
    definition: str,
    checks: Sequence[Check],
    measure: Callable[[PredictedImages], Floats],
    real: Floats,
    patients: Sequence[str],
    *,
    false_alarms: float,
    min_cases: int,
    margin: float = 1.0,
    more: Callable[[Floats], dict[str, Any]] = lambda limits: {},
) -> CheckedFilter:
    """Standardizes a filter's checks on held-out real radiographs and sets its limit by patient.

    `real` (N, checks) is measured on these radiographs, of these `patients`; `more` gives further
    facts from each check's limit. Raises InputError for a check with too few radiographs.
    """
    known = ~np.isnan(real)
    counts = known.sum(axis=0)
    for check, count in zip(checks, counts, strict=True):
        if count < min_cases:
            raise InputError(
                f"{name}: {check.failure!r} cannot be checked, for only {count} held-out real "
                f"radiographs "
                f"are of that kind (at least {min_cases} needed): exclude it, set {name}: null, "
                "or take a larger held-out split"
            )
    mean = np.nanmean(real, axis=0)
    deviation = np.maximum(np.nanstd(real, axis=0), 1e-6)
    neutral = np.array([check.neutral for check in checks])
    standardized = (real - mean) / deviation
    _, score = worst_check(np.where(real <= neutral, np.minimum(standardized, 0), standardized))
    rows = np.flatnonzero(~np.isnan(score))
    limit = calibrate(score[rows], [patients[row] for row in rows.tolist()], false_alarms)
    limit = replace(limit, value=margin * max(0.0, limit.value))
    return CheckedFilter(
        name=name,
        definition=definition,
        checks=checks,
        measure=measure,
        mean=mean,
        deviation=deviation,
        limit=limit,
        radiographs=counts,
        more=more(np.maximum(mean + limit.value * deviation, neutral)),
    )


def worst_check(values: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Of (N, checks) each row's largest and where it is; NaN for a row that has none."""
    known = np.where(np.isnan(values), -np.inf, values)
    worst = known.argmax(axis=1)
    score = known[np.arange(len(known)), worst]
    return worst, np.where(np.isneginf(score), np.nan, score)


def log_odds(probabilities: Floats) -> Floats:
    """Of probabilities, none infinite."""
    p = probabilities.clip(_LEAST, 1 - _LEAST)
    result: Floats = np.log(p) - np.log1p(-p)
    return result
