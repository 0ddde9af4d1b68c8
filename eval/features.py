"""Features of a set: one pass, streamed."""

import numpy as np

from eval.fidelity import FeatureSet
from eval.sets import ImageSet
from roentgen.models.extractor import Extractor

_BATCH = 256


def features_of(images: ImageSet, extractor: Extractor) -> FeatureSet:
    """The features of every image of a set, in its order."""
    parts = [
        extractor(images.images[first : first + _BATCH]) for first in range(0, len(images), _BATCH)
    ]
    return FeatureSet(features=np.concatenate(parts), patients=images.patients)
