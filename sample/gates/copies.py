"""Is it a copy of a training image? Shifts, contrast and noise are seen through."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from roentgen.data.copies import CopyFinder
from roentgen.data.pixels import Images
from roentgen.metrics.copies import Threshold, calibrate
from sample.gates.gate import Judged, Shown
from sample.screen_config import CopiesConfig

FAULT = "copy of a training image"


class CopiesGate:
    """Looks images up among training images."""

    name = "copies"

    def __init__(
        self, config: CopiesConfig, train: Images, ids: Sequence[str], held_out: Shown
    ) -> None:
        """`ids` are the training images'; the limit is set on held-out patients' films."""
        self._finder, self._ids = CopyFinder(train, shift=config.shift), ids
        found = self._finder.nearest(held_out.images).likeness
        self.limit: Threshold = calibrate(found, held_out.patients, config.false_alarms)
        self.definition = (
            f"The likeness to the likeliest of {len(ids)} training images: the largest normalised "
            f"cross-correlation over shifts of up to {config.shift} pixels at a side of 128, "
            "without the smooth part and the grain of images; 1 for a copy."
        )

    def __call__(self, shown: Shown) -> Judged:
        """Judge some images."""
        found = self._finder.nearest(shown.images)
        fault, reason = [""] * len(found.row), [""] * len(found.row)
        for row in np.flatnonzero(found.likeness > self.limit.likeness):
            fault[row] = FAULT
            reason[row] = (
                f"{FAULT}: likeness {found.likeness[row]:.3f} to {self._ids[found.row[row]]}, "
                f"limit {self.limit.likeness:.3f}"
            )
        return Judged(found.likeness, fault, reason, found.row)

    def about(self) -> dict[str, Any]:
        """Nothing more than the limit."""
        return {}
