"""Whether images of a set are copies of training images, at a rate of false alarms that is known.

A threshold of likeness is calibrated on real films of other patients, who cannot have been copied:
what they reach by chance is no copy.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.estimates import Estimate, Floats, proportion, wilson_interval
from eval.feature_set import Features, blocks
from roentgen.data.copies import Nearest


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


def excess(made: Floats, held_out: Floats, threshold: Threshold) -> Estimate:
    """By how much the share of copies lies above that of held-out films.

    The interval of a difference of two shares by their Wilson intervals (Newcombe 1998, method 10).
    """
    counts = [int((values > threshold.likeness).sum()) for values in (made, held_out)]
    sizes = [len(made), len(held_out)]
    (p, q) = (count / size for count, size in zip(counts, sizes, strict=True))
    (low_p, high_p), (low_q, high_q) = (
        wilson_interval(count, size) for count, size in zip(counts, sizes, strict=True)
    )
    low = p - q - math.hypot(p - low_p, high_q - q)
    high = p - q + math.hypot(high_p - p, q - low_q)
    return Estimate(value=p - q, low=low, high=high, n=len(made))


def nearest_by_cosine(features: Features, originals: Features) -> Nearest:
    """For each of (n, d) the row of (m, d) with the largest cosine, and that cosine.

    Block by block: memory does not grow with n times m.
    """
    row = np.zeros(len(features), np.int64)
    likeness = np.full(len(features), -np.inf)
    for places, part in blocks(features):
        for others, block in blocks(originals):
            cosine = _unit(part) @ _unit(block).T
            best = cosine.argmax(axis=1)
            value = cosine[np.arange(len(part)), best]
            better = value > likeness[places]
            row[places] = np.where(better, best + others.start, row[places])
            likeness[places] = np.where(better, value, likeness[places])
    return Nearest(row, likeness)


def true_positive_rate(
    members: Floats, others: Floats, false_positive_rate: float
) -> tuple[float, float]:
    """The share of members whose score lies above all but that share of the others, and the cut.

    Membership inference is to be judged at few false alarms (Carlini et al. 2022).
    """
    allowed = math.floor(false_positive_rate * len(others))
    cut = float(np.sort(others)[::-1][allowed])
    return float((members > cut).mean()), cut


def _unit(x: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    result: NDArray[np.float64] = x / np.maximum(lengths, 1e-12)
    return result
