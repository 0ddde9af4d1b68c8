"""Outliers filter: the distance of features to the k-th nearest real radiograph.

Deep nearest neighbors, Sun et al. 2022: features of length 1.
"""

import numpy as np
from numpy.typing import NDArray

from roentgen.dataset.image_set import Images
from roentgen.metrics.estimates import Floats
from roentgen.vision.features.network import Extractor
from sample.screening.config import OutliersConfig
from sample.screening.filters.checked_filter import (
    Check,
    CheckedFilter,
    PredictedImages,
    checked_filter,
)

_BATCH = 256


def outliers_filter(
    config: OutliersConfig,
    extractor: Extractor,
    train: Images,
    held_out: PredictedImages,
    *,
    min_cases: int,
) -> CheckedFilter:
    """The filter that compares images with `train`."""
    real = unit_features(extractor, train)
    k = min(config.neighbor, len(real))

    def measure(predicted: PredictedImages) -> Floats:
        return kth_distance(unit_features(extractor, predicted.images), real, k)[:, None]

    return checked_filter(
        "outliers",
        f"The distance to the {k}th nearest of {len(real)} real radiographs, of features of length "
        f"1 ({extractor.definition}), less the mean of held-out real radiographs, in standard "
        "deviations.",
        [Check(failure="unlike any real radiograph", unit="distance", to_unit=float)],
        measure,
        measure(held_out),
        held_out.patients,
        false_alarms=config.false_alarms,
        min_cases=min_cases,
    )


def unit_features(extractor: Extractor, images: Images) -> NDArray[np.float32]:
    """(N, d), each of length 1."""
    parts = [
        extractor(images[slice(first, first + _BATCH)]) for first in range(0, len(images), _BATCH)
    ]
    features = np.concatenate(parts)
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    result: NDArray[np.float32] = features / np.maximum(lengths, 1e-12)
    return result


def kth_distance(x: NDArray[np.float32], others: NDArray[np.float32], k: int) -> Floats:
    """Euclidean distance of each of (n, d) to the k-th nearest of (m, d), all of length 1."""
    cosine = x.astype(np.float64) @ others.T.astype(np.float64)
    nearest = -np.partition(-cosine, k - 1, axis=1)[:, k - 1]
    result: Floats = np.sqrt(np.maximum(2 - 2 * nearest, 0))
    return result
