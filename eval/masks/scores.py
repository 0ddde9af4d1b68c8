"""Mask fidelity scores: a segmenter's reading of images against their masks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roentgen.dataset.image_set import ImageSet
from roentgen.dataset.structure_masks import UNKNOWN
from roentgen.metrics.estimates import Estimate, Floats, NotMeasured, count_patients, weighted_mean
from roentgen.metrics.images.dice import dice, iou
from roentgen.metrics.paired_scores import Score, over_seeds
from roentgen.randomness import numpy_generator
from roentgen.vision.segmenter import Segmenter

FALSE_POSITIVE_AREA = 0.001  # of the image: a structure found on less is not counted
_TOGETHER = 64  # images

Rows = NDArray[np.integer]


@dataclass(frozen=True, kw_only=True)
class ImageScores:
    """Scores of each image and structure, (N, structures); NaN where there is none."""

    dice: Floats  # where the mask contains the structure
    iou: Floats
    false_positives: Floats  # where the mask is empty: 1 if the structure is found, else 0
    shuffled_dice: Floats  # with the mask of another image of the same view


@dataclass(frozen=True, kw_only=True)
class MaskFidelity:
    """Scores of one set, by structure and their mean."""

    dice: Mapping[str, Estimate]
    iou: Mapping[str, Estimate]
    shuffled_dice: Mapping[str, Estimate]
    """Dice with another image's masks: chance level."""
    false_positives: Mapping[str, Estimate]
    """Share of the images with an empty mask in which the structure is found."""


def image_scores(images: ImageSet, segmenter: Segmenter, seed: int) -> ImageScores:
    """Scores of what the segmenter finds against the images' masks, a few images at a time.

    `seed` chooses the other image whose masks give the chance level.
    """
    masks = images.masks(segmenter.spec.structures)
    other = shuffled_within_views(images.views, seed)
    shape = (len(images), len(segmenter.spec.structures))
    values = [np.full(shape, np.nan) for _ in range(4)]
    for first in range(0, len(images), _TOGETHER):
        rows = np.arange(first, min(first + _TOGETHER, len(images)))
        found = segmenter.predict(images.images[rows]) >= 0.5
        own, others = masks[rows], masks[other[rows]]
        inside = own == 1
        known = (own != UNKNOWN).all(axis=(2, 3))
        there = known & inside.any(axis=(2, 3))
        shuffled = others == 1
        both = there & shuffled.any(axis=(2, 3)) & (other[rows] != rows)[:, None]
        extra = found.mean(axis=(2, 3)) >= FALSE_POSITIVE_AREA
        for value, where, score in zip(
            values,
            (there, there, known & ~there, both),
            (dice(inside, found), iou(inside, found), extra, dice(shuffled, found)),
            strict=True,
        ):
            value[rows] = np.where(where, score, np.nan)
    return ImageScores(
        dice=values[0], iou=values[1], false_positives=values[2], shuffled_dice=values[3]
    )


def shuffled_within_views(views: NDArray[np.int64], seed: int) -> Rows:
    """(N,): for each image another of its view, at random; itself where there is no other."""
    result = np.arange(len(views))
    for view in np.unique(views):
        members = numpy_generator(seed, "others").permutation(np.flatnonzero(views == view))
        result[members] = np.roll(members, 1)
    return result


def structure_score(
    values: Sequence[Floats],
    patients: Sequence[str],
    weights: NDArray[np.integer],
    min_cases: int,
) -> Score:
    """The mean of the (N,) values that are known, for each seed and resample of `weights`."""
    of = np.asarray(patients)[~np.isnan(values[0])].tolist()
    if count_patients(of) < min_cases:
        few = f"images of only {count_patients(of)} patients" if of else "no images"
        why = f"{few} to measure on (at least {min_cases} patients needed)"
        return NotMeasured(why, len(of), count_patients(of))
    return over_seeds([weighted_mean(each, weights) for each in values], of)


def mask_patients(images: ImageSet) -> Sequence[str]:
    """The patient whose masks each image was generated from: such images are not independent."""
    return [
        (r.synthesis.from_patient if r.synthesis else None) or r.patient_id
        for r in images.radiographs
    ]
