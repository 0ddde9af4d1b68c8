"""Estimates with their intervals, resampling by patient, and conformal thresholds.

A conformal threshold is a limit that held-out patients exceed at a known rate. For example,
similarity to training images: real radiographs of other patients cannot be copies, so a
near-duplicate is more similar than they are.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from roentgen.metrics.finite import require_finite
from roentgen.randomness import numpy_generator

Floats = NDArray[np.float64]
CONFIDENCE = 0.95
_NOT_MEASURED = "not measured: "
_Z = 1.959963984540054  # normal quantile of 0.975
_IDENTICAL = 1 - 1e-6  # correlations are clipped to it
BOOTSTRAP = "95% interval: percentiles of {samples} bootstrap resamples of {what}."  # in words


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number with its 95% interval and sample size; without a value `note` gives the reason."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int
    patients: int | None = None
    """Distinct patients of the n images (of synthetic images: distinct prompts), which are what is
    independent; None where n counts something else."""
    note: str | None = None


class NotMeasured(Estimate):
    """The place of a number that the data do not allow, with the reason."""

    def __init__(self, reason: str, n: int = 0, patients: int | None = None) -> None:
        super().__init__(value=None, n=n, patients=patients, note=f"{_NOT_MEASURED}{reason}")

    @property
    def reason(self) -> str:
        """Why there is no number."""
        return str(self.note).removeprefix(_NOT_MEASURED)


def count_patients(patients: Iterable[str]) -> int:
    """The number of distinct patients."""
    return len(set(patients))


def bootstrap_weights(clusters: Sequence[str], samples: int, seed: int) -> NDArray[np.int32]:
    """(samples, N): how often each item occurs in each resample of whole clusters (patients)."""
    names, member = np.unique(np.asarray(clusters), return_inverse=True)
    draws = numpy_generator(seed, "bootstrap").multinomial(
        len(names), np.full(len(names), 1 / len(names)), size=samples
    )
    result: NDArray[np.int32] = draws.astype(np.int32)[:, member]
    return result


def weighted_mean(values: Floats, weights: NDArray[Any]) -> Floats:
    """The mean (R,) of the values (N,) that are not NaN, under each row of weights (R, N).

    Raises InputError for an infinite value.
    """
    known = ~np.isnan(values)
    require_finite(np.where(known, values, 0), "values")
    total = weights[:, known].sum(axis=1)
    sums = weights[:, known] @ values[known]
    result: Floats = np.divide(sums, total, out=np.full(len(weights), np.nan), where=total > 0)
    return result


def percentile_interval(replicates: Floats) -> tuple[float, float]:
    """The 2.5th and 97.5th percentile; NaN, of resamples without the number, is ignored."""
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.nanpercentile(replicates, [tail, 100 - tail])
    return float(low), float(high)


def normal_interval(value: float, replicates: Floats) -> tuple[float, float]:
    """Value +- 1.96 standard deviations of the replicates: their spread without their bias."""
    deviation = float(np.nanstd(replicates, ddof=1)) if len(replicates) > 1 else math.nan
    return value - _Z * deviation, value + _Z * deviation


def normal_estimate(
    value: float,
    replicates: Floats,
    n: int,
    *,
    patients: int | None = None,
    least: float = -math.inf,
    most: float = math.inf,
) -> Estimate:
    """A number of a quantity between `least` and `most`, with its `normal_interval`.

    An unbiased number beyond an end is that end. The part of an interval within the quantity's
    range covers the truth as often as all of it.
    """
    value = min(most, max(least, float(value)))
    low, high = normal_interval(value, replicates)
    return Estimate(value=value, low=max(least, low), high=min(most, high), n=n, patients=patients)


def wilson_interval(successes: float, n: float) -> tuple[float, float]:
    """Wilson's score interval of a proportion (1927); sensible at 0 and at n of n too."""
    share = successes / n
    center = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    # Rounding must not push an end past the share itself at 0 or n.
    return max(0.0, min(center - half, share)), min(1.0, max(center + half, share))


def proportion(successes: int, n: int) -> Estimate:
    """A share of n independent trials with Wilson's interval."""
    low, high = wilson_interval(successes, n)
    return Estimate(value=successes / n, low=low, high=high, n=n)


def share_of_images(hits: NDArray[Any], patients: Sequence[str]) -> Estimate:
    """The share of images (N,) that are hits, where those of one patient may be alike.

    Wilson's interval at the effective sample size of clustered images (Korn and Graubard 1998): at
    n for one image a patient, at the number of patients for equal images of each. N is at least 1.
    """
    n = len(hits)
    names, member = np.unique(np.asarray(patients), return_inverse=True)
    size = _effective_size(np.asarray(hits, dtype=np.float64), member, len(names))
    value = float(np.mean(hits))
    low, high = wilson_interval(value * size, size)
    return Estimate(value=value, low=low, high=high, n=n, patients=len(names))


def _effective_size(hits: Floats, member: NDArray[np.integer], clusters: int) -> float:
    """How many independent images have the variance of these, of `clusters` patients.

    The variance between patients has clusters - 1 degrees of freedom: with few of them, the size
    is smaller by the squared ratio of Student's quantiles. Never more than the number of images,
    nor, where all images are equal and no variance is seen, than the number of patients.
    """
    n, share = len(hits), float(hits.mean())
    if clusters == n:
        return float(n)
    if share in (0.0, 1.0) or clusters == 1:
        return float(clusters)
    totals = np.bincount(member, weights=hits - share, minlength=clusters)
    variance = float(totals @ totals) * clusters / (clusters - 1) / n**2
    few = stdtrit(n - 1, (1 + CONFIDENCE) / 2) / stdtrit(clusters - 1, (1 + CONFIDENCE) / 2)
    size = share * (1 - share) / variance * float(few) ** 2 if variance > 0 else math.inf
    return min(size, float(n))


def share_estimate(value: float, replicates: Floats, n: int, patients: int) -> Estimate:
    """A share of n images of `patients` with its replicates, and an interval within [0, 1].

    As `share_of_images`, with the variance of the replicates: for a share whose limit is itself an
    estimate.
    """
    variance = float(np.nanvar(replicates, ddof=1))
    size = min(float(n), value * (1 - value) / variance) if variance > 0 else 0.0
    size = size or float(patients)
    low, high = wilson_interval(value * size, size)
    return Estimate(value=value, low=low, high=high, n=n, patients=patients)


def difference_of_shares(first: Estimate, second: Estimate) -> Estimate:
    """The first share less the second, of independent groups; both have Wilson's intervals.

    Interval by theirs (Newcombe 1998, method 10).
    """
    p, low_p, high_p = _interval_of(first)
    q, low_q, high_q = _interval_of(second)
    low = p - q - math.hypot(p - low_p, high_q - q)
    high = p - q + math.hypot(high_p - p, q - low_q)
    return replace(first, value=p - q, low=low, high=high)


def _interval_of(share: Estimate) -> tuple[float, float, float]:
    assert share.value is not None
    assert share.low is not None
    assert share.high is not None
    return share.value, share.low, share.high


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """A limit that held-out patients exceed at a known rate."""

    value: float
    patients: int  # held out, on whom it is calibrated
    guaranteed: float  # bound on the probability that a further held-out patient exceeds it
    expected: float | None = None  # that probability under a distributional assumption, if any


def calibrate(held_out: Floats, patients: Sequence[str], false_alarms: float) -> Threshold:
    """The threshold that a further patient's largest value exceeds with at most this probability.

    Split conformal prediction (Vovk et al. 2005): among n patients' largest values and one more
    that is exchangeable with them, that one is among the k largest with probability k / (n + 1).
    With too few patients for k >= 1, the largest is taken, which guarantees 1 / (n + 1).
    Raises InputError for a value that is not finite.
    """
    require_finite(held_out, "held-out values")
    ranked = sorted(_largest(held_out, patients), reverse=True)
    n = len(ranked)
    k = max(1, math.floor(false_alarms * (n + 1)))
    return Threshold(value=ranked[k - 1], patients=n, guaranteed=k / (n + 1))


def calibrate_correlations(
    held_out: Floats, patients: Sequence[str], false_alarms: float
) -> Threshold:
    """`calibrate` of correlations; with too few patients the threshold is extrapolated.

    There must be at least two. Fisher's z (artanh) of a patient's largest correlation is assumed
    normal, and the threshold is the larger of the largest and the upper prediction limit of one
    further patient, mean + t * deviation * sqrt(1 + 1 / n) (Hahn 1970). `guaranteed` stays
    1 / (n + 1); `expected` is the requested rate.
    """
    found = calibrate(held_out, patients, false_alarms)
    if found.guaranteed <= false_alarms:
        return found
    z = np.arctanh(np.clip(_largest(held_out, patients), -_IDENTICAL, _IDENTICAL))
    n = len(z)
    margin = stdtrit(n - 1, 1 - false_alarms) * z.std(ddof=1) * math.sqrt(1 + 1 / n)
    limit = math.tanh(float(z.mean() + margin))
    return replace(found, value=max(found.value, limit), expected=false_alarms)


def _largest(values: Floats, patients: Sequence[str]) -> list[float]:
    """The largest value of each patient."""
    largest: dict[str, float] = {}
    for patient, value in zip(patients, values.tolist(), strict=True):
        largest[patient] = max(value, largest.get(patient, -math.inf))
    return list(largest.values())


def share_above(values: Floats, patients: Sequence[str], threshold: Threshold) -> Estimate:
    """The share of values above the threshold, as `share_of_images`.

    Raises InputError for a value that is not finite.
    """
    require_finite(values, "values")
    return share_of_images(values > threshold.value, patients)
