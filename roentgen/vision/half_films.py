"""The sides of a film by themselves, and what is said to be on each.

A network that pools over the whole image forgets where things are. So it is shown each half by
itself, the other one black, and learns what is present on that side.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roentgen.dataset.image_set import Images, ImageSet
from roentgen.dataset.label_arrays import NotMentioned, label_matrix
from roentgen.manifest import fingerprint_of
from roentgen.record.findings import FindingName
from roentgen.record.radiograph import Radiograph

SIDES = ("left", "right")  # the patient's: the left one is on the right of the image


class Halves:
    """Twice as many images: of each the half with the patient's left side, then the right one."""

    def __init__(self, images: Images) -> None:
        self._images = images

    def __len__(self) -> int:
        return 2 * len(self._images)

    def __getitem__(self, rows: slice | NDArray[np.integer], /) -> NDArray[np.uint8]:
        """In the order of `rows`; the other half is black."""
        wanted = np.arange(len(self))[rows]
        result = self._images[wanted // 2].copy()
        middle = result.shape[2] // 2
        result[wanted % 2 == 0, :, :middle] = 0
        result[wanted % 2 == 1, :, middle:] = 0
        return result


@dataclass(frozen=True, kw_only=True)
class HalfImages:
    """Both halves of frontal images, each labeled with what is present on that side."""

    images: Halves  # 2 N
    findings: tuple[FindingName, ...]
    labels: NDArray[np.float32]  # 2 N, findings
    views: NDArray[np.int64]
    key: str
    by_image: NDArray[np.float32]  # `side_labels`: N, findings, 2


def half_images(images: ImageSet) -> HalfImages:
    """The halves of all images but laterals, with the findings of the set's labels."""
    frontal = images.take(shows_sides(images.radiographs))
    labels = side_labels(frontal.radiographs, frontal.findings, frontal.not_mentioned)
    return HalfImages(
        images=Halves(frontal.images),
        findings=frontal.findings,
        labels=labels.transpose(0, 2, 1).reshape(2 * len(frontal), -1),
        views=np.repeat(frontal.views, 2),
        key=fingerprint_of([frontal.key, "halves"]),
        by_image=labels,
    )


def shows_sides(radiographs: Sequence[Radiograph]) -> NDArray[np.int64]:
    """The rows of all but lateral films, which show both sides on top of each other."""
    return np.array([k for k, r in enumerate(radiographs) if r.view != "LATERAL"], dtype=np.int64)


def side_labels(
    radiographs: Sequence[Radiograph], findings: Sequence[FindingName], not_mentioned: NotMentioned
) -> NDArray[np.float32]:
    """(N, findings, 2): present on the left, present on the right; 1, 0, NaN where not known.

    An absent finding is on neither side. Of one that is present without a side nothing is known.
    """
    whole = label_matrix(radiographs, findings, not_mentioned)
    result = np.repeat(whole[:, :, None], 2, axis=2)
    for row, radiograph in enumerate(radiographs):
        for column, name in enumerate(findings):
            if whole[row, column] != 1:
                continue
            told = {f.side for f in radiograph.findings if (f.name, f.state) == (name, "present")}
            for k, side in enumerate(SIDES):
                on_it = side in told or "bilateral" in told
                result[row, column, k] = 1 if on_it else np.nan if None in told else 0
    return result


def one_side(labels: NDArray[np.float32]) -> NDArray[np.int64]:
    """(N, findings): 0 where a finding is on the left alone, 1 on the right alone, else -1."""
    left, right = labels[:, :, 0], labels[:, :, 1]
    return np.where((left == 1) & (right == 0), 0, np.where((left == 0) & (right == 1), 1, -1))
