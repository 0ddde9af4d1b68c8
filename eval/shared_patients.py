"""Shared patients of two datasets: radiographs of one that are near-duplicates of the other's.

Two datasets may hold one radiograph under different ids, as those do that one archive gave rise to.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from roentgen.dataset.image_set import ImageSet
from roentgen.metrics.estimates import Floats
from roentgen.vision.copy_finder import CopyFinder

FALSE_ALARM = 0.01  # probability of any near-duplicate among patients who are not shared
_TO_DEVIATION = 1.4826  # of the median absolute deviation of normal values
_IDENTICAL = 1 - 1e-6  # correlations are clipped to it


@dataclass(frozen=True, kw_only=True)
class NearDuplicate:
    """A held-out radiograph and the training radiograph that it resembles."""

    test: str  # their ids
    train: str
    similarity: float


def near_duplicates(train: ImageSet, test: ImageSet) -> tuple[float, list[NearDuplicate]]:
    """The limit of similarity, and the held-out radiographs above it, the most similar first."""
    found = CopyFinder(train.images).nearest(test.images)
    limit = outlier_limit(found.similarity)
    rows = np.argsort(-found.similarity, kind="stable")
    pairs = [
        NearDuplicate(
            test=test.ids[row],
            train=train.ids[int(found.row[row])],
            similarity=float(found.similarity[row]),
        )
        for row in rows.tolist()
        if found.similarity[row] > limit
    ]
    return limit, pairs


def outlier_limit(similarity: Floats) -> float:
    """The correlation that none of n images of other patients exceeds, at a probability of 0.99.

    Fisher's z (artanh) is assumed normal; the prediction limit of one further image (Hahn 1970) at
    0.01 / n has the median and the median absolute deviation, which few duplicates do not move.
    """
    z = np.arctanh(np.clip(similarity, -_IDENTICAL, _IDENTICAL))
    n, center = len(z), float(np.median(z))
    deviation = _TO_DEVIATION * float(np.median(np.abs(z - center)))
    return math.tanh(
        center + stdtrit(n - 1, 1 - FALSE_ALARM / n) * deviation * math.sqrt(1 + 1 / n)
    )
