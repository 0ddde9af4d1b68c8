"""Sharpness of images against that of real radiographs.

Features learned for findings hardly respond to blur, and a distance of whole sets does not see a
few images: so each image is tested by itself.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from roentgen.dataset.image_set import Images, ImageSet
from roentgen.metrics.conformal import calibrate
from roentgen.metrics.estimates import Floats, proportion
from roentgen.metrics.images.laplacian import laplacian_detail

FALSE_ALARMS = 0.01  # of held-out patients whose least sharp radiograph may be below the threshold
_BATCH = 256  # images read at once


def sharpness(sets: Mapping[str, ImageSet], test: ImageSet) -> dict[str, Any]:
    """The share of images in each set below the sharpness of held-out radiographs."""
    threshold = calibrate(-_detail(test.images), test.patients, FALSE_ALARMS)
    least = -threshold.value
    return {
        "threshold": least,
        "guaranteed": threshold.guaranteed,
        "patients": threshold.patients,
        "share_below": {
            name: proportion(int((_detail(images.images) < least).sum()), len(images))
            for name, images in sets.items()
        },
    }


def _detail(images: Images) -> Floats:
    starts = range(0, len(images), _BATCH)
    return np.concatenate([laplacian_detail(images[i : i + _BATCH]) for i in starts])
