"""What a segmenter finds in images against the masks that go with them, image by image."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.sets import ImageSet
from roentgen.metrics.estimates import Floats, NotMeasured, weighted_mean
from roentgen.metrics.images.dice import dice, iou
from roentgen.metrics.paired_scores import Score, over_seeds
from roentgen.randomness import numpy_generator
from roentgen.vision.segmenter import UNKNOWN, Segmenter

STRAY = 0.001  # of the image: a smaller area found where none was asked for is no stray
_TOGETHER = 64  # images

Rows = NDArray[np.integer]


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """Of each image and structure, (N, structures); NaN where there is nothing to measure."""

    dice: Floats  # where the structure is asked for
    iou: Floats
    strays: Floats  # where it is asked to be nowhere: 1 if it is found all the same, else 0
    shuffled: Floats  # dice with the mask of another image of the same view


def overlap(images: ImageSet, segmenter: Segmenter, seed: int) -> Overlap:
    """Of what the segmenter finds in the images and their masks; a few images are held at a time.

    `seed` draws which other image's masks an image is compared with by chance.
    """
    masks = images.masks(segmenter.spec.structures)
    other = others(images.views, seed)
    shape = (len(images), len(segmenter.spec.structures))
    values = [np.full(shape, np.nan) for _ in range(4)]
    for first in range(0, len(images), _TOGETHER):
        rows = np.arange(first, min(first + _TOGETHER, len(images)))
        found = segmenter.predict(images.images[rows]) >= 0.5
        asked, by_chance = masks[rows], masks[other[rows]]
        inside = asked == 1
        known = (asked != UNKNOWN).all(axis=(2, 3))
        there = known & inside.any(axis=(2, 3))
        chance = by_chance == 1
        both = there & chance.any(axis=(2, 3)) & (other[rows] != rows)[:, None]
        stray = found.mean(axis=(2, 3)) >= STRAY
        for value, where, what in zip(
            values,
            (there, there, known & ~there, both),
            (dice(inside, found), iou(inside, found), stray, dice(chance, found)),
            strict=True,
        ):
            value[rows] = np.where(where, what, np.nan)
    return Overlap(dice=values[0], iou=values[1], strays=values[2], shuffled=values[3])


def others(views: NDArray[np.int64], seed: int) -> Rows:
    """(N,): for each image another of its view, by lot; itself where there is no other."""
    result = np.arange(len(views))
    for view in np.unique(views):
        members = numpy_generator(seed, "others").permutation(np.flatnonzero(views == view))
        result[members] = np.roll(members, 1)
    return result


def score(values: Sequence[Floats], weights: NDArray[np.integer], least: int) -> Score:
    """The mean of (N,) values that are known, of each seed, in each resample of `weights`."""
    n = int((~np.isnan(values[0])).sum())
    if n < least:
        few = f"only {n}" if n else "no"
        return NotMeasured(f"{few} images to measure on (at least {least} needed)", n)
    return over_seeds([weighted_mean(each, weights) for each in values], n)


def sources(images: ImageSet) -> Sequence[str]:
    """Whose masks an image was drawn from, for resampling: they are not independent."""
    return [
        (r.synthesis.from_patient if r.synthesis else None) or r.patient_id
        for r in images.radiographs
    ]
