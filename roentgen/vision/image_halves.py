"""Image halves: the patient's left and right side of frontal radiographs, and the findings of each.

A network that pools over the whole image loses where a finding is. It is therefore given each half
by itself, the other one black, and learns the findings on that side.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roentgen.dataset.image_set import Images, ImageSet
from roentgen.dataset.label_arrays import NotMentioned, label_matrix
from roentgen.manifest import fingerprint_of
from roentgen.metrics.estimates import Floats, NotMeasured, count_patients
from roentgen.record.finding import FindingName
from roentgen.record.radiograph import Radiograph
from roentgen.vision.classifier import Classifier

SIDES = ("left", "right")  # the patient's: the left one is on the right of the image


class HalfImages:
    """Twice as many images: of each the half with the patient's left side, then the right one."""

    def __init__(self, images: Images) -> None:
        self._images = images

    def __len__(self) -> int:
        return 2 * len(self._images)

    def __getitem__(self, rows: slice | NDArray[np.integer], /) -> NDArray[np.uint8]:
        """In the order of `rows`; the other half is black."""
        halves = np.arange(len(self))[rows]
        result = self._images[halves // 2].copy()
        middle = result.shape[2] // 2
        result[halves % 2 == 0, :, :middle] = 0
        result[halves % 2 == 1, :, middle:] = 0
        return result


@dataclass(frozen=True, kw_only=True)
class LabeledHalves:
    """Both halves of N frontal images, labeled with the findings on that side."""

    images: HalfImages  # 2 N
    findings: tuple[FindingName, ...]
    labels: NDArray[np.float32]  # 2 N, findings
    views: NDArray[np.int64]  # 2 N
    key: str
    by_image: NDArray[np.float32]  # `labels_by_side`: N, findings, 2
    patients: list[str]  # N


def labeled_halves(images: ImageSet) -> LabeledHalves:
    """The halves of all images but lateral views, with the findings of the set's labels."""
    frontal = images.take(frontal_rows(images.radiographs))
    labels = labels_by_side(frontal.radiographs, frontal.findings, frontal.not_mentioned)
    return LabeledHalves(
        images=HalfImages(frontal.images),
        findings=frontal.findings,
        labels=labels.transpose(0, 2, 1).reshape(2 * len(frontal), -1),
        views=np.repeat(frontal.views, 2),
        key=fingerprint_of([frontal.key, "halves"]),
        by_image=labels,
        patients=frontal.patients,
    )


def frontal_rows(radiographs: Sequence[Radiograph]) -> NDArray[np.int64]:
    """The rows of all but lateral views, which project both sides onto each other."""
    return np.array([k for k, r in enumerate(radiographs) if r.view != "LATERAL"], dtype=np.int64)


def labels_by_side(
    radiographs: Sequence[Radiograph], findings: Sequence[FindingName], not_mentioned: NotMentioned
) -> NDArray[np.float32]:
    """(N, findings, 2): present on the left, present on the right; 1, 0, NaN where not known.

    An absent finding is on neither side. The sides of one that is present without a side are not
    known, nor is the side where one may be besides the present one.
    """
    whole = label_matrix(radiographs, findings, not_mentioned)
    result = np.repeat(whole[:, :, None], 2, axis=2)
    for row, radiograph in enumerate(radiographs):
        for column, name in enumerate(findings):
            if whole[row, column] != 1:
                continue
            present, possible = (
                {f.side for f in radiograph.findings if (f.name, f.state) == (name, state)}
                for state in ("present", "uncertain")
            )
            for k, side in enumerate(SIDES):
                if present & {side, "bilateral"}:
                    result[row, column, k] = 1
                else:
                    unknown = None in present or possible & {side, "bilateral", None}
                    result[row, column, k] = np.nan if unknown else 0
    return result


def single_side(labels: NDArray[np.float32]) -> NDArray[np.int64]:
    """(N, findings): 0 where a finding is on the left alone, 1 on the right alone, else -1."""
    left, right = labels[:, :, 0], labels[:, :, 1]
    return np.where((left == 1) & (right == 0), 0, np.where((left == 0) & (right == 1), 1, -1))


def laterality_not_learnable(
    labels: NDArray[np.float32],
    patients: Sequence[str],
    findings: Sequence[FindingName],
    min_cases: int,
) -> dict[FindingName, NotMeasured]:
    """The findings whose side too few patients teach, by these `labels_by_side`."""
    result: dict[FindingName, NotMeasured] = {}
    for name, known in zip(findings, single_side(labels).T, strict=True):
        of = np.asarray(patients)
        counts = {side: count_patients(of[known == k].tolist()) for k, side in enumerate(SIDES)}
        if min(counts.values()) < min_cases:
            result[name] = NotMeasured(
                f"only {counts['left']} patients with it on the left and {counts['right']} on the "
                f"right to train on (at least {min_cases} needed)"
            )
    return result


def predict_by_side(network: Classifier, images: Images) -> Floats:
    """Probabilities (N, findings, 2) of findings in the left and right halves of (N, H, W).

    `network` has learned from halves.
    """
    halves = network.predict(HalfImages(images)).findings
    return halves.reshape(len(images), 2, -1).transpose(0, 2, 1)
