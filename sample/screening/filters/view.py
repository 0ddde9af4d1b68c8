"""View filter: whether the view is the requested one, by the reference classifier."""

import math

import numpy as np
from numpy.typing import NDArray

from roentgen.dataset.label_arrays import view_indices
from roentgen.metrics.estimates import Floats
from roentgen.record.radiograph import VIEWS
from sample.screening.config import ViewConfig
from sample.screening.filters.checked_filter import (
    Check,
    CheckedFilter,
    PredictedImages,
    checked_filter,
    log_odds,
)

DEFINITION = (
    "How far the classifier's log odds for the requested view lie below those of held-out real "
    "radiographs of that view, in standard deviations. At a probability of a half or more "
    "it never fails."
)


def view_filter(
    config: ViewConfig, requested: NDArray[np.int64], held_out: PredictedImages, *, min_cases: int
) -> CheckedFilter:
    """The filter of sets that request these views (N,).

    Raises InputError for a view that too few held-out radiographs have.
    """
    places = [k for k in range(len(VIEWS)) if (requested == k).any()]

    def measure(predicted: PredictedImages) -> Floats:
        views, odds = view_indices(predicted.radiographs), log_odds(predicted.predictions.views)
        return np.stack([np.where(views == k, -odds[:, k], np.nan) for k in places], axis=1)

    return checked_filter(
        "view",
        DEFINITION,
        [
            Check(
                failure=f"{VIEWS[k]} requested, not found",
                unit="probability",
                to_unit=lambda value: 1 / (1 + math.exp(value)),
                neutral=0.0,
            )
            for k in places
        ],
        measure,
        measure(held_out),
        held_out.patients,
        false_alarms=config.false_alarms,
        min_cases=min_cases,
    )
