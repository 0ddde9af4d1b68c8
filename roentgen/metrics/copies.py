"""Whether images of a set are copies of training images, at a rate of false alarms that is known.

A threshold of likeness is calibrated on real films of other patients, who cannot have been copied:
what they reach by chance is no copy.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from roentgen.metrics.estimates import Estimate, Floats, proportion


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """Likeness above which an image is called a copy."""

    likeness: float
    patients: int  # who were held out, and whom it is calibrated on
    guaranteed: float  # probability at most that a further held-out patient lies above it


def calibrate(held_out: Floats, patients: Sequence[str], false_alarms: float) -> Threshold:
    """The threshold that a further patient's likeliest film exceeds with at most this probability.

    By split conformal prediction (Vovk et al. 2005): of n patients' largest likenesses and one more
    that is exchangeable with them, that one is among the k largest with probability k / (n + 1). Of
    too few patients for that, the largest is taken, which guarantees 1 / (n + 1).
    """
    largest: dict[str, float] = {}
    for patient, value in zip(patients, held_out.tolist(), strict=True):
        largest[patient] = max(value, largest.get(patient, -math.inf))
    n = len(largest)
    k = max(1, math.floor(false_alarms * (n + 1)))
    ranked = sorted(largest.values(), reverse=True)
    return Threshold(likeness=ranked[k - 1], patients=n, guaranteed=k / (n + 1))


def copies(likeness: Floats, threshold: Threshold) -> Estimate:
    """The share of images above the threshold, with Wilson's interval."""
    return proportion(int((likeness > threshold.likeness).sum()), len(likeness))
