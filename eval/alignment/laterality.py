"""Whether a finding is on the side that was asked for, by a judge that sees each half by itself."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from roentgen.metrics.estimates import Estimate, Floats, NotMeasured, proportion
from roentgen.record.findings import FindingName
from roentgen.vision.half_films import SIDES, one_side

ALL = "all findings"


def sides_not_learnable(
    labels: NDArray[np.float32], findings: Sequence[FindingName], min_cases: int
) -> dict[FindingName, NotMeasured]:
    """The findings whose side cannot be learned from these labels."""
    result: dict[FindingName, NotMeasured] = {}
    for name, asked in zip(findings, one_side(labels).T, strict=True):
        counts = {side: int((asked == k).sum()) for k, side in enumerate(SIDES)}
        few = [f"{n} {side}" for side, n in counts.items() if n < min_cases]
        if few:
            result[name] = NotMeasured(
                f"only {' and '.join(few)} to train on (at least {min_cases} needed)"
            )
    return result


def side_accuracy(
    said: Floats,
    labels: NDArray[np.float32],
    findings: Sequence[FindingName],
    not_learned: Mapping[FindingName, NotMeasured],
    min_cases: int,
) -> dict[str, Estimate]:
    """The share of images with a finding on one side that the judge sees rather on that side.

    `said` are probabilities (N, findings, 2).
    """
    asked = one_side(labels)
    result: dict[str, Estimate] = {}
    right = total = 0
    for j, name in enumerate(findings):
        missing = not_learned.get(name)
        sided = asked[:, j] >= 0
        n = int(sided.sum())
        if not missing and n < min_cases:
            missing = NotMeasured(
                f"asked for on one side in {n} images (at least {min_cases} needed)"
            )
        if missing:
            result[name] = NotMeasured(missing.reason, n)
            continue
        seen = said[sided, j].argmax(axis=1)
        hits = int((seen == asked[sided, j]).sum())
        result[name] = proportion(hits, n)
        right, total = right + hits, total + n
    missing = NotMeasured("no finding has enough images with one side")
    return {ALL: proportion(right, total) if total else missing, **result}
