"""Copies filter: near-duplicates of training images, regardless of shift, contrast and noise."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roentgen.dataset.image_set import Images
from roentgen.errors import InputError
from roentgen.metrics.estimates import Floats, Threshold, calibrate_correlations
from roentgen.randomness import numpy_generator
from roentgen.vision.copy_finder import SIDE, CopyFinder
from sample.screening.config import CopiesConfig
from sample.screening.filters.checked_filter import FilterScores, PredictedImages

FAILURE = "near-duplicate of a training image"
_PLANTED = 200  # planted copies, to measure how many are found
_FEWEST = 10  # patients that the spread of similarity can be estimated from


class CopiesFilter:
    """Looks images up among training images."""

    name = "copies"

    def __init__(
        self,
        config: CopiesConfig,
        train: Images,
        ids: Sequence[str],
        held_out: PredictedImages,
        seed: int,
    ) -> None:
        """`ids` are the training images'; the limit is set on held-out patients.

        Raises InputError for too few patients.
        """
        self._finder, self._ids = CopyFinder(train, shift=config.shift), ids
        found = self._finder.nearest(held_out.images)
        most_similar = int(found.similarity.argmax())
        self._most_similar = {
            "radiograph": held_out.radiographs[most_similar].id,
            "training image": ids[found.row[most_similar]],
            "similarity": float(found.similarity[most_similar]),
        }
        rows = numpy_generator(seed, "planted").permutation(len(train))[:_PLANTED]
        copied = plant(train[rows], config.shift, numpy_generator(seed, "plant"))
        again = self._finder.nearest(copied)
        limit = similarity_limit(
            self.name, found.similarity, held_out.patients, config.false_alarms
        )
        least = float(again.similarity.min())
        if limit.guaranteed > config.false_alarms and least > limit.value:
            # So few patients do not support their limit: midway to planted copies is farther off.
            limit = replace(limit, value=(limit.value + least) / 2)
        self.limit = limit
        self._planted = {
            "share": float(((again.similarity > limit.value) & (again.row == rows)).mean()),
            "copies": len(rows),
            "least similarity": least,
        }
        self.definition = (
            f"The similarity to the most similar of {len(ids)} training images: the largest "
            f"normalized cross-correlation over shifts of up to {config.shift} pixels at a side of "
            "128, without the smooth part and the grain of images; 1 for a copy."
        )

    def __call__(self, predicted: PredictedImages) -> FilterScores:
        """Score images."""
        found = self._finder.nearest(predicted.images)
        failure, reason = [""] * len(found.row), [""] * len(found.row)
        for row in np.flatnonzero(found.similarity > self.limit.value):
            failure[row] = FAILURE
            reason[row] = (
                f"{FAILURE}: similarity {found.similarity[row]:.3f} to "
                f"{self._ids[found.row[row]]}, "
                f"limit {self.limit.value:.3f}"
            )
        return FilterScores(found.similarity, failure, reason, found.row)

    def about(self) -> dict[str, Any]:
        """The planted copies that are found, and the most similar held-out radiograph."""
        return {
            "planted copies found": self._planted,
            "most similar held-out radiograph": self._most_similar,
        }


def similarity_limit(
    filter_: str, similarity: Floats, patients: Sequence[str], false_alarms: float
) -> Threshold:
    """The limit that so many real patients exceed. Raises InputError for too few patients."""
    count = len(set(patients))
    if count < _FEWEST:
        raise InputError(
            f"{filter_}: {count} patients are too few to set a limit of similarity by (at least "
            f"{_FEWEST}): take a larger split of reference, or set {filter_}: null"
        )
    return calibrate_correlations(similarity, patients, false_alarms)


def plant(images: NDArray[np.uint8], shift: int, draws: np.random.Generator) -> NDArray[np.uint8]:
    """Copies (N, H, W) that the filter should find.

    Moved by up to `shift` pixels (at a side of 128) each way, contrast times 0.7 to 1.3, brightness
    up to 20 up or down, Gaussian noise of 2 to 8 gray levels.
    """
    reach = shift * images.shape[1] // SIDE
    height, width = images.shape[1:]
    result = np.empty_like(images)
    for copy, image in zip(result, images, strict=True):
        top, left = reach + draws.integers(-reach, reach + 1, 2)
        wide = np.pad(image, reach, mode="edge")[top : top + height, left : left + width]
        levels = 128 + draws.uniform(0.7, 1.3) * (wide - 128.0) + draws.uniform(-20, 20)
        levels += draws.normal(0, draws.uniform(2, 8), levels.shape)
        copy[:] = levels.clip(0, 255)
    return result
