"""View accuracy: the share of images whose most probable view is the requested one."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from roentgen.dataset.label_arrays import UNKNOWN_VIEW
from roentgen.metrics.estimates import Estimate, Floats, NotMeasured, share_of_images


def correct_views(probabilities: Floats, views: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,): 1 where the most probable view (N, views) is the requested one, 0 where it is another.

    -1 where no view is requested.
    """
    return np.where(views == UNKNOWN_VIEW, -1, probabilities.argmax(axis=1) == views)


def view_accuracy(
    probabilities: Floats, views: NDArray[np.int64], patients: Sequence[str]
) -> Estimate:
    """The share of images with a requested view that have it."""
    correct = correct_views(probabilities, views)
    rows = correct >= 0
    if not rows.any():
        return NotMeasured("no image has a view")
    return share_of_images(correct[rows] == 1, np.asarray(patients)[rows].tolist())
