"""Finite features and scores: a NaN among them would silently decide a metric."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from roentgen.errors import InputError


def require_finite(values: NDArray[Any], of: str, *, first: int = 0) -> None:
    """Check values (N, ...) of rows from `first` on; `of` names them.

    Raises InputError naming the first row with a NaN or infinite value.
    """
    finite = np.isfinite(values)
    if not finite.all():
        rows = np.flatnonzero(~finite.reshape(len(values), -1).all(axis=1))
        raise InputError(
            f"{of}: row {first + rows[0]} is NaN or infinite (in all {len(rows)} of {len(values)} "
            "rows): the network that computed it is damaged, or overflowed in half precision"
        )


def require_probabilities(values: NDArray[Any]) -> None:
    """Raises InputError where values (N,) are not finite or not between 0 and 1."""
    require_finite(values, "probabilities")
    outside = np.flatnonzero((values < 0) | (values > 1))
    if len(outside):
        raise InputError(
            f"probabilities: that of row {outside[0]} is {float(values[outside[0]]):g}, not "
            f"between 0 and 1 (in all {len(outside)} of {len(values)} rows)"
        )
