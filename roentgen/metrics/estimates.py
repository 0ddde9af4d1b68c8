"""Estimates with their intervals, resampling by patient, and conformal thresholds.

A conformal threshold is a limit that held-out patients exceed at a known rate. For example,
similarity to training images: real radiographs of other patients cannot be copies, so a
near-duplicate is more similar than they are.
"""

import math
from collections.abc import Sequence
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
    note: str | None = None


class NotMeasured(Estimate):
    """The place of a number that the data do not allow, with the reason."""

    def __init__(self, reason: str, n: int = 0) -> None:
        super().__init__(value=None, n=n, note=f"{_NOT_MEASURED}{reason}")

    @property
    def reason(self) -> str:
        """Why there is no number."""
        return str(self.note).removeprefix(_NOT_MEASURED)


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
    value: float, replicates: Floats, n: int, *, least: float = -math.inf, most: float = math.inf
) -> Estimate:
    """A number of a quantity between `least` and `most`, with its `normal_interval`.

    An unbiased number beyond an end is that end. The part of an interval within the quantity's
    range covers the truth as often as all of it.
    """
    value = min(most, max(least, float(value)))
    low, high = normal_interval(value, replicates)
    return Estimate(value=value, low=max(least, low), high=min(most, high), n=n)


def wilson_interval(successes: float, n: float) -> tuple[float, float]:
    """Wilson's score interval of a proportion (1927); sensible at 0 and at n of n too."""
    share = successes / n
    center = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    # Rounding must not push an end past the share itself at 0 or n.
    return max(0.0, min(center - half, share)), min(1.0, max(center + half, share))


def proportion(successes: int, n: int) -> Estimate:
    """A share with Wilson's interval."""
    low, high = wilson_interval(successes, n)
    return Estimate(value=successes / n, low=low, high=high, n=n)


def share_estimate(value: float, replicates: Floats, n: int) -> Estimate:
    """A share of n images that are not independent, with an interval within [0, 1].

    Wilson's interval at the effective sample size, at which independent images have the variance
    of the replicates (Korn and Graubard 1998); without spread, at n.
    """
    variance = float(np.nanvar(replicates, ddof=1))
    size = value * (1 - value) / variance if variance > 0 else 0.0
    size = size or float(n)
    low, high = wilson_interval(value * size, size)
    return Estimate(value=value, low=low, high=high, n=n)


def difference_of_proportions(successes: tuple[int, int], sizes: tuple[int, int]) -> Estimate:
    """The first share less the second, of independent groups.

    Interval by their Wilson intervals (Newcombe 1998, method 10).
    """
    p, q = (count / size for count, size in zip(successes, sizes, strict=True))
    (low_p, high_p), (low_q, high_q) = (
        wilson_interval(count, size) for count, size in zip(successes, sizes, strict=True)
    )
    low = p - q - math.hypot(p - low_p, high_q - q)
    high = p - q + math.hypot(high_p - p, q - low_q)
    return Estimate(value=p - q, low=low, high=high, n=sizes[0])


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


def share_above(values: Floats, threshold: Threshold) -> Estimate:
    """The share of values above the threshold, with Wilson's interval.

    Raises InputError for a value that is not finite.
    """
    require_finite(values, "values")
    return proportion(int((values > threshold.value).sum()), len(values))
