"""Whether images of a set are copies of training images, at a rate of false alarms that is known.

A threshold of likeness is calibrated on real films of other patients, who cannot have been copied:
what they reach by chance is no copy.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtrit

from roentgen.metrics.estimates import Estimate, Floats, proportion

_ALIKE = 1 - 1e-6  # likenesses are taken no nearer to 1


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """Likeness above which an image is called a copy."""

    likeness: float
    patients: int  # who were held out, and whom it is calibrated on
    guaranteed: float  # probability at most that a further held-out patient lies above it
    expected: float | None = None  # that probability where likenesses have a shape; None: untold


def calibrate(held_out: Floats, patients: Sequence[str], false_alarms: float) -> Threshold:
    """The threshold that a further patient's likeliest film exceeds with at most this probability.

    By split conformal prediction (Vovk et al. 2005): of n patients' largest likenesses and one more
    that is exchangeable with them, that one is among the k largest with probability k / (n + 1). Of
    too few patients for that, the largest is taken, which guarantees 1 / (n + 1).
    """
    ranked = sorted(_largest(held_out, patients), reverse=True)
    n = len(ranked)
    k = max(1, math.floor(false_alarms * (n + 1)))
    return Threshold(likeness=ranked[k - 1], patients=n, guaranteed=k / (n + 1))


def calibrate_likeness(held_out: Floats, patients: Sequence[str], false_alarms: float) -> Threshold:
    """As `calibrate`, but of too few patients the limit lies beyond the largest; at least two.

    Fisher's z (artanh) of a patient's largest correlation is taken as normal, and the limit is the
    larger of the largest and the upper prediction limit of one further patient,
    mean + t * deviation * sqrt(1 + 1 / n) (Hahn 1970). What is guaranteed stays 1 / (n + 1);
    `expected` is the rate that was asked for.
    """
    found = calibrate(held_out, patients, false_alarms)
    if found.guaranteed <= false_alarms:
        return found
    z = np.arctanh(np.clip(_largest(held_out, patients), -_ALIKE, _ALIKE))
    n = len(z)
    margin = stdtrit(n - 1, 1 - false_alarms) * z.std(ddof=1) * math.sqrt(1 + 1 / n)
    limit = math.tanh(float(z.mean() + margin))
    return replace(found, likeness=max(found.likeness, limit), expected=false_alarms)


def _largest(values: Floats, patients: Sequence[str]) -> list[float]:
    """The largest of each patient."""
    largest: dict[str, float] = {}
    for patient, value in zip(patients, values.tolist(), strict=True):
        largest[patient] = max(value, largest.get(patient, -math.inf))
    return list(largest.values())


def copies(likeness: Floats, threshold: Threshold) -> Estimate:
    """The share of images above the threshold, with Wilson's interval."""
    return proportion(int((likeness > threshold.likeness).sum()), len(likeness))
