"""Nearest neighbor by cosine similarity, block by block.

torchmetrics' similarities are of all pairs at once: memory grows with n times m.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from roentgen.metrics.estimates import Floats
from roentgen.metrics.features.feature_set import Features, blocks


class Nearest(NamedTuple):
    """For each of N images the most similar of M others, and the similarity."""

    row: NDArray[np.int64]  # (N,), of the other
    similarity: NDArray[np.float64]  # (N,), in [-1, 1]


def nearest_by_cosine(features: Features, others: Features) -> Nearest:
    """For each of (n, d) the row of (m, d) with the largest cosine, and that cosine.

    Memory does not grow with n times m.
    """
    row = np.zeros(len(features), np.int64)
    similarity = np.full(len(features), -np.inf)
    for places, part in blocks(features):
        for columns, block in blocks(others):
            cosine = _unit(part) @ _unit(block).T
            best = cosine.argmax(axis=1)
            value = cosine[np.arange(len(part)), best]
            better = value > similarity[places]
            row[places] = np.where(better, best + columns.start, row[places])
            similarity[places] = np.where(better, value, similarity[places])
    return Nearest(row, similarity)


def _unit(x: Floats) -> Floats:
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    result: Floats = x / np.maximum(lengths, 1e-12)
    return result
