"""Whether images are softer than films: the detail of each, against what real films keep.

Features that were learnt to tell findings hardly feel a blur, and a distance of whole sets does not
see a few images. So each image is asked by itself.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roentgen.dataset.image_set import Images, ImageSet
from roentgen.metrics.conformal import calibrate
from roentgen.metrics.estimates import Floats, proportion

FALSE_ALARMS = 0.01  # of held-out patients whose softest film may lie below the threshold
_BATCH = 256  # images read at once
_NONE = -20.0  # the detail of an image of one gray
DEFINITION = (
    "Softness: an image's detail is the standard deviation of its Laplacian (4 neighbours) over "
    "that of the image (Pech-Pacheco et al. 2000), whatever its brightness and contrast. Soft is "
    "what has less than films: than the softest film of all but at most {guaranteed:.4f} of "
    "patients, by split conformal prediction on {patients} held-out ones. Wilson's interval."
)


def detail(images: NDArray[np.uint8]) -> Floats:
    """(N,): log of the Laplacian's standard deviation over the image's, of (N, H, W) images."""
    x = images.astype(np.float64)
    inner = x[:, 1:-1, 1:-1]
    around = x[:, :-2, 1:-1] + x[:, 2:, 1:-1] + x[:, 1:-1, :-2] + x[:, 1:-1, 2:]
    fine, all_of_it = (part.std(axis=(1, 2)) for part in (4 * inner - around, x))
    shown = (fine > 0) & (all_of_it > 0)
    ratio = np.divide(fine, all_of_it, out=np.ones_like(fine), where=shown)
    result: Floats = np.where(shown, np.log(ratio), _NONE)
    return result


def softness(sets: Mapping[str, ImageSet], test: ImageSet) -> dict[str, Any]:
    """The share of images in each set that are softer than held-out films, and the threshold."""
    threshold = calibrate(-_detail_of(test.images), test.patients, FALSE_ALARMS)
    least = -threshold.likeness
    return {
        "least_detail": least,
        "guaranteed": threshold.guaranteed,
        "patients": threshold.patients,
        "share": {
            name: proportion(int((_detail_of(images.images) < least).sum()), len(images))
            for name, images in sets.items()
        },
    }


def _detail_of(images: Images) -> Floats:
    parts = [detail(images[i : i + _BATCH]) for i in range(0, len(images), _BATCH)]
    return np.concatenate(parts)
