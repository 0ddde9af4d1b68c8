"""Quantiles under weights such as bootstrap counts."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from roentgen.metrics.estimates import Floats
from roentgen.metrics.finite import require_finite


def weighted_quantile(values: Floats, weights: NDArray[Any], share: float) -> Floats:
    """The quantile (R,) of values (N,) at `share` under each row of whole weights (R, N).

    Linear between the values of rank share * (n + 1) (Weibull 1939, type 6 of Hyndman and Fan
    1996): a further value that is exchangeable with these is below it with probability `share`, if
    n is at least 1 / share - 1. NaN where all weights are 0. Raises InputError for a value that is
    not finite.
    """
    require_finite(values, "values")
    order = np.argsort(values, kind="stable")
    ranked, ends = values[order], np.cumsum(weights[:, order], axis=1)
    total = ends[:, -1]
    rank = np.clip(share * (total + 1) - 1, 0, np.maximum(total - 1, 0))
    below = np.floor(rank)
    first, second = (
        ranked[np.minimum((ends <= place[:, None]).sum(axis=1), len(ranked) - 1)]
        for place in (below, np.minimum(below + 1, np.maximum(total - 1, 0)))
    )
    result: Floats = np.where(total > 0, first + (rank - below) * (second - first), np.nan)
    return result
