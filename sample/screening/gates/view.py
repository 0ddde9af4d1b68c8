"""Is the view as asked? By the proxy's view head."""

import math

import numpy as np
from numpy.typing import NDArray

from roentgen.dataset.label_arrays import view_indices
from roentgen.metrics.estimates import Floats
from roentgen.record.views import VIEWS
from sample.screening.config import ViewConfig
from sample.screening.gates.gate import Check, CheckedGate, Shown, checked_gate, log_odds

DEFINITION = (
    "How far the proxy's log odds for the view that was asked for lie below those of held-out "
    "real films of that view, in standard deviations of these. At a probability of a half or more "
    "it never fails."
)


def view_gate(
    config: ViewConfig, asked: NDArray[np.int64], held_out: Shown, *, min_cases: int
) -> CheckedGate:
    """The gate for sets that ask for the views `asked` (N,).

    Raises InputError for a view that too few held-out films have.
    """
    places = [k for k in range(len(VIEWS)) if (asked == k).any()]

    def measure(shown: Shown) -> Floats:
        views, odds = view_indices(shown.radiographs), log_odds(shown.said.views)
        return np.stack([np.where(views == k, -odds[:, k], np.nan) for k in places], axis=1)

    return checked_gate(
        "view",
        DEFINITION,
        [
            Check(
                fault=f"{VIEWS[k]} asked, not seen",
                unit="probability",
                told=lambda value: 1 / (1 + math.exp(value)),
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
