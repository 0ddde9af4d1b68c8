"""Conformal thresholds: a limit that held-out patients exceed at a known rate.

For example, similarity to training images: real radiographs of other patients cannot be copies, so
a near-duplicate is more similar than they are.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtrit

from roentgen.metrics.estimates import Estimate, Floats, proportion

_IDENTICAL = 1 - 1e-6  # correlations are clipped to it


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
    """
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
    """The share of values above the threshold, with Wilson's interval."""
    return proportion(int((values > threshold.value).sum()), len(values))
