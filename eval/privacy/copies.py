"""What a set gives away of its training images: copies beyond chance, members among films."""

import math

import numpy as np
from numpy.typing import NDArray

from roentgen.metrics.conformal import Threshold
from roentgen.metrics.estimates import Estimate, Floats, wilson_interval
from roentgen.metrics.features.feature_set import Features, blocks
from roentgen.vision.copy_finder import Nearest


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
