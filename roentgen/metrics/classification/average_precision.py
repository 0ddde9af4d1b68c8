"""Average precision: how good the ranking is where positives are rare."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from roentgen.metrics.estimates import Floats


def weighted_average_precision(
    scores: Floats, positive: NDArray[np.bool_], weights: NDArray[Any]
) -> Floats:
    """Area under the precision-recall curve in steps, (R,), under each row of weights (R, N).

    Of all positives, the mean precision from each one's score upwards; ties are called together, as
    scikit-learn does. The share that is positive is chance. NaN without a positive.
    """
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))  # of each tie
    weights = weights[:, order].astype(np.float64)
    right = np.add.reduceat(weights * positive[order], starts, axis=1)
    called = np.cumsum(np.add.reduceat(weights, starts, axis=1), axis=1)
    precision = np.divide(
        np.cumsum(right, axis=1), called, out=np.zeros_like(called), where=called > 0
    )
    total = right.sum(axis=1)
    area = (precision * right).sum(axis=1)
    result: Floats = np.divide(area, total, out=np.full(len(weights), np.nan), where=total > 0)
    return result
