"""View accuracy: the share of images whose most probable view is the requested one."""

import numpy as np
from numpy.typing import NDArray

from roentgen.dataset.label_arrays import UNKNOWN_VIEW
from roentgen.metrics.estimates import Estimate, Floats, NotMeasured, proportion


def correct_views(probabilities: Floats, views: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,): 1 where the most probable view (N, views) is the requested one, 0 where it is another.

    -1 where no view is requested.
    """
    return np.where(views == UNKNOWN_VIEW, -1, probabilities.argmax(axis=1) == views)


def view_accuracy(probabilities: Floats, views: NDArray[np.int64]) -> Estimate:
    """The share of images with a requested view that have it."""
    correct = correct_views(probabilities, views)
    n = int((correct >= 0).sum())
    return proportion(int((correct == 1).sum()), n) if n else NotMeasured("no image has a view")
