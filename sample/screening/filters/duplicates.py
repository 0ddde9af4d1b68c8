"""Duplicates filter: near-duplicates within the set, of which the first is accepted.

The limit is what two real patients of so many hardly reach: images of one prompt, which show the
same findings in the same view, are no more alike than real patients' with the same findings.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from roentgen.dataset.image_set import ImageRows, Images
from roentgen.metrics.estimates import Floats, Threshold
from roentgen.metrics.features.nearest import Nearest
from roentgen.randomness import numpy_generator
from roentgen.vision.copy_finder import CopyFinder
from sample.screening.config import DuplicatesConfig
from sample.screening.filters.copies import similarity_limit

FAILURE = "duplicate within the set"
DEFINITION = (
    "The similarity to the most similar other image of the set that passed all other filters, as "
    "for copies; the limit is set on one radiograph of each training patient, compared with the "
    "others'. Of each group the first image is accepted."
)


class Duplicates(NamedTuple):
    """For each of N images its similarity to the image it was compared with last, and which it is.

    `of` is the place of the image that stays in its stead, -1 for images that stay.
    """

    similarity: Floats
    of: NDArray[np.int64]


def duplicates_limit(
    config: DuplicatesConfig, train: Images, patients: Sequence[str], seed: int
) -> Threshold:
    """The similarity that few radiographs reach with the most similar one of other patients.

    One of each patient, whose further radiographs are no duplicates. Raises InputError for
    too few patients.
    """
    _, first = np.unique(np.asarray(patients), return_index=True)
    sample = numpy_generator(seed, "duplicates").permutation(first)[: config.patients]
    images = ImageRows(train, np.sort(sample))
    found = CopyFinder(images, shift=config.shift).nearest(images, others=True)
    patients_too = [str(k) for k in range(len(images))]
    return similarity_limit("duplicates", found.similarity, patients_too, config.false_alarms)


def duplicates(accepted: Images | None, images: Images, shift: int, limit: float) -> Duplicates:
    """Which of `images` are duplicates of one of `accepted`, or of one that comes before them.

    Indices run over the accepted images first, then over `images`.
    """
    n, before = len(images), 0 if accepted is None else len(accepted)
    similarity, of = np.full(n, np.nan), np.full(n, -1, np.int64)
    if accepted is not None and before and n:
        found = CopyFinder(accepted, shift=shift).nearest(images)
        similarity = found.similarity.copy()
        of = np.where(found.similarity > limit, found.row, -1)
    staying = np.flatnonzero(of < 0)
    # An image is compared with its most similar one, which may itself be rejected.
    while len(staying) > 1:
        left = ImageRows(images, staying)
        found = CopyFinder(left, shift=shift).nearest(left, others=True)
        similarity[staying] = np.fmax(similarity[staying], found.similarity)
        dropped = _later(found, limit)
        if not dropped:
            break
        for late, early in dropped.items():
            of[staying[late]] = before + staying[early]
        staying = np.delete(staying, list(dropped))
    return Duplicates(similarity, of)


def _later(found: Nearest, limit: float) -> dict[int, int]:
    """Of each pair beyond the limit the later image -> the earlier, which stays."""
    dropped: dict[int, int] = {}
    pairs = {
        (min(i, j), max(i, j))
        for i, (j, alike) in enumerate(zip(found.row.tolist(), found.similarity, strict=True))
        if alike > limit
    }
    for early, late in sorted(pairs):
        if early not in dropped and late not in dropped:
            dropped[late] = early
    return dropped
