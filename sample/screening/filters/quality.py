"""Quality filter: blank, flat, saturated, blurred or noisy images, by four statistics."""

import math

import numpy as np
from numpy.typing import NDArray

from roentgen.metrics.estimates import Floats
from sample.screening.config import QualityConfig
from sample.screening.filters.checked_filter import (
    Check,
    CheckedFilter,
    PredictedImages,
    checked_filter,
)

DEFINITION = (
    "Contrast (5th to 95th percentile of pixels), saturation (share of pixels that are black or "
    "white), roughness (mean difference of neighboring pixels beside the contrast; both ways) "
    "and brightness (mean; both ways): how far their logarithms lie from those of held-out real "
    "radiographs, in standard deviations; the score is that of the worst. Limits are widened."
)
_BATCH = 256
_FLAT = 0.5  # gray levels: less is no contrast, no difference
_FEW = 0.001  # share of pixels: less is no saturation


def quality_filter(
    config: QualityConfig, held_out: PredictedImages, *, min_cases: int
) -> CheckedFilter:
    """The filter, with limits set on held-out real radiographs."""

    def measure(predicted: PredictedImages) -> Floats:
        contrast, saturated, rough, bright = statistics(predicted).T
        columns = [-contrast, saturated, -rough, rough, -bright, bright]
        return np.stack(columns, axis=1)

    return checked_filter(
        "quality",
        DEFINITION,
        [
            Check(failure="blank or flat", unit="contrast", to_unit=lambda v: math.exp(-v)),
            Check(failure="saturated", unit="share of black and white", to_unit=math.exp),
            Check(failure="blurred", unit="roughness", to_unit=lambda v: math.exp(-v)),
            Check(failure="noisy", unit="roughness", to_unit=math.exp),
            Check(failure="too dark", unit="mean", to_unit=lambda v: math.exp(-v)),
            Check(failure="too bright", unit="mean", to_unit=math.exp),
        ],
        measure,
        measure(held_out),
        held_out.patients,
        false_alarms=config.false_alarms,
        min_cases=min_cases,
        margin=config.margin,
    )


def statistics(predicted: PredictedImages) -> Floats:
    """(N, 4): logarithms of contrast, share saturated, roughness beside contrast, and mean."""
    images = predicted.images
    parts = [_of(images[slice(first, first + _BATCH)]) for first in range(0, len(images), _BATCH)]
    return np.concatenate(parts) if parts else np.empty((0, 4))


def _of(images: NDArray[np.uint8]) -> Floats:
    low, high = np.percentile(images, [5, 95], axis=(1, 2))
    contrast = np.maximum(high - low, _FLAT)
    saturated = np.maximum(((images == 0) | (images == 255)).mean(axis=(1, 2)), _FEW)
    wide = images.astype(np.float32)
    steps = [np.abs(np.diff(wide, axis=axis)).mean(axis=(1, 2)) for axis in (1, 2)]
    rough = np.maximum((steps[0] + steps[1]) / 2, _FLAT / 10) / contrast
    bright = np.maximum(wide.mean(axis=(1, 2)), _FLAT)
    result: Floats = np.log(np.stack([contrast, saturated, rough, bright], axis=1))
    return result.astype(np.float64)
