"""Laterality accuracy: whether a finding is on the requested side, by a network of image halves."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from roentgen.metrics.estimates import Estimate, Floats, NotMeasured, proportion
from roentgen.record.findings import FindingName
from roentgen.vision.image_halves import single_side

ALL = "all findings"


def laterality_accuracy(
    probabilities: Floats,
    labels: NDArray[np.float32],
    findings: Sequence[FindingName],
    not_learned: Mapping[FindingName, NotMeasured],
    min_cases: int,
) -> dict[str, Estimate]:
    """The share of images requested with a finding on one side that have it rather on that side.

    `probabilities` (N, findings, 2) are those of the left and the right half, `labels` are
    `labels_by_side`.
    """
    requested = single_side(labels)
    result: dict[str, Estimate] = {}
    right = total = 0
    for j, name in enumerate(findings):
        missing = not_learned.get(name)
        sided = requested[:, j] >= 0
        n = int(sided.sum())
        if not missing and n < min_cases:
            missing = NotMeasured(
                f"requested on one side in {n} images (at least {min_cases} needed)"
            )
        if missing:
            result[name] = NotMeasured(missing.reason, n)
            continue
        found = probabilities[sided, j].argmax(axis=1)
        hits = int((found == requested[sided, j]).sum())
        result[name] = proportion(hits, n)
        right, total = right + hits, total + n
    missing = NotMeasured("no finding has enough images with one side")
    return {ALL: proportion(right, total) if total else missing, **result}
