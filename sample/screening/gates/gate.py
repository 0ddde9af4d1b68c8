"""What gates have in common: images in, for each a score, whether it passes, and why not.

Most gates make checks: numbers that grow with strangeness, each defined where something was asked.
A check is standardised by how real held-out films of other patients lie (those of which it is
true), the worst check of an image is its score, and the limit is one that real films hardly reach.
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
from roentgen.metrics.conformal import Threshold, calibrate
from roentgen.metrics.estimates import Floats
from roentgen.record.radiograph import Radiograph
from roentgen.vision.classifier import Classifier, Prediction

_LEAST = 1e-6  # probabilities are taken no nearer to 0 and 1


class Shown:
    """Some images with what was asked of them, and what networks say, asked once."""

    def __init__(
        self, radiographs: Sequence[Radiograph], images: Images, proxy: Classifier | None
    ) -> None:
        self.radiographs, self.images = radiographs, images
        self.proxy = proxy

    @property
    def patients(self) -> list[str]:
        """The patient of each."""
        return [radiograph.patient_id for radiograph in self.radiographs]

    @cached_property
    def said(self) -> Prediction:
        """The proxy's probabilities."""
        assert self.proxy is not None
        return self.proxy.predict(self.images)

    @cached_property
    def features(self) -> NDArray[np.float32]:
        """The proxy's features (N, d)."""
        assert self.proxy is not None
        return self.proxy.features(self.images)


class Judged(NamedTuple):
    """What a gate says of N images."""

    score: Floats  # (N,); the larger, the stranger; NaN: nothing to judge, which passes
    fault: list[str]  # what is wrong, in words that many images share; "": passes
    reason: list[str]  # the same with numbers
    like: NDArray[np.int64] | None = None  # (N,) of copies: the row of the likeliest original


class Gate(Protocol):
    """One thing that an image must be."""

    @property
    def name(self) -> str:
        """The section of the configuration that sets it."""

    @property
    def limit(self) -> Threshold:
        """The score beyond which an image is dropped."""

    @property
    def definition(self) -> str:
        """What the score is, in words."""

    def __call__(self, shown: Shown) -> Judged:
        """Judge some images."""

    def about(self) -> dict[str, Any]:
        """What more is to be told of it, as JSON values."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One of a gate's checks, and how it is told."""

    fault: str
    """What is wrong with an image that fails it."""
    unit: str
    """What `told` gives."""
    told: Callable[[float], float]
    """The measured number in that unit."""
    neutral: float = -math.inf
    """Up to this measured number an image never fails: it speaks for what was asked."""


@dataclass(frozen=True, kw_only=True)
class CheckedGate:
    """A gate of checks that are standardised on real held-out films."""

    name: str
    definition: str
    checks: Sequence[Check]
    measure: Callable[[Shown], Floats]  # (N, checks); larger is stranger; NaN: not asked
    mean: Floats  # (checks,)
    deviation: Floats  # (checks,)
    limit: Threshold  # of the worst check, in deviations
    films: NDArray[np.int64]  # (checks,) on which each is standardised
    more: dict[str, Any]

    def __call__(self, shown: Shown) -> Judged:
        """Judge some images."""
        values = self.measure(shown)
        strange = (values - self.mean) / self.deviation
        spared = values <= [check.neutral for check in self.checks]
        worst, score = worst_check(np.where(spared, np.minimum(strange, self.limit.value), strange))
        fault, reason = [""] * len(score), [""] * len(score)
        limits = self.limits()
        for row in np.flatnonzero(score > self.limit.value):
            k = int(worst[row])
            check = self.checks[k]
            fault[row] = check.fault
            told, limit = check.told(values[row, k]), check.told(limits[k])
            reason[row] = f"{check.fault}: {check.unit} {told:.3g}, limit {limit:.3g}"
        return Judged(score, fault, reason)

    def limits(self) -> Floats:
        """(checks,): the measured number beyond which each check alone drops an image."""
        alone = self.mean + self.limit.value * self.deviation
        return np.maximum(alone, [check.neutral for check in self.checks])

    def about(self) -> dict[str, Any]:
        """Each check's limit in its own unit, and how many films it rests on."""
        limits = self.limits()
        return {
            "checks": {
                check.fault: {
                    "unit": check.unit,
                    "limit": float(check.told(limits[k])),
                    "films": int(self.films[k]),
                }
                for k, check in enumerate(self.checks)
            },
            **self.more,
        }


def checked_gate(
    name: str,
    definition: str,
    checks: Sequence[Check],
    measure: Callable[[Shown], Floats],
    real: Floats,
    patients: Sequence[str],
    *,
    false_alarms: float,
    min_cases: int,
    margin: float = 1.0,
    more: Callable[[Floats], dict[str, Any]] = lambda limits: {},
) -> CheckedGate:
    """Standardise a gate's checks on held-out real films and set its limit by their patients.

    `real` is what is measured of these films, `patients` whose they are; `more` gives what else is
    to be told, from each check's limit. Raises InputError for a check with too few such films.
    """
    known = ~np.isnan(real)
    films = known.sum(axis=0)
    for check, count in zip(checks, films, strict=True):
        if count < min_cases:
            raise InputError(
                f"{name}: {check.fault!r} cannot be judged, for only {count} held-out real films "
                f"are of that kind (at least {min_cases} needed): leave it out, set {name}: null, "
                "or take a larger held-out split"
            )
    mean = np.nanmean(real, axis=0)
    deviation = np.maximum(np.nanstd(real, axis=0), 1e-6)
    neutral = np.array([check.neutral for check in checks])
    strange = (real - mean) / deviation
    _, score = worst_check(np.where(real <= neutral, np.minimum(strange, 0), strange))
    rows = np.flatnonzero(~np.isnan(score))
    limit = calibrate(score[rows], [patients[row] for row in rows.tolist()], false_alarms)
    limit = replace(limit, value=margin * max(0.0, limit.value))
    return CheckedGate(
        name=name,
        definition=definition,
        checks=checks,
        measure=measure,
        mean=mean,
        deviation=deviation,
        limit=limit,
        films=films,
        more=more(np.maximum(mean + limit.value * deviation, neutral)),
    )


def worst_check(strangeness: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Of (N, checks) each row's largest and where it is; NaN for a row that has none."""
    known = np.where(np.isnan(strangeness), -np.inf, strangeness)
    worst = known.argmax(axis=1)
    score = known[np.arange(len(known)), worst]
    return worst, np.where(np.isneginf(score), np.nan, score)


def log_odds(probabilities: Floats) -> Floats:
    """Of probabilities, none infinite."""
    p = probabilities.clip(_LEAST, 1 - _LEAST)
    result: Floats = np.log(p) - np.log1p(-p)
    return result
