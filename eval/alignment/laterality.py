"""Whether a finding is on the side that was asked for, by a judge that sees each half by itself."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from roentgen.metrics.estimates import Estimate, Floats, not_measured, proportion
from roentgen.record.findings import FindingName
from roentgen.vision.half_films import SIDES, one_side

ALL = "all findings"


def untrained_sides(
    labels: NDArray[np.float32], findings: Sequence[FindingName], min_cases: int
) -> dict[FindingName, str | None]:
    """Why the side of a finding cannot be learned from these labels, None if it can."""
    result: dict[FindingName, str | None] = {}
    for name, asked in zip(findings, one_side(labels).T, strict=True):
        counts = {side: int((asked == k).sum()) for k, side in enumerate(SIDES)}
        few = [f"{n} {side}" for side, n in counts.items() if n < min_cases]
        result[name] = (
            f"only {' and '.join(few)} to train on (at least {min_cases} needed)" if few else None
        )
    return result


def side_accuracy(
    said: Floats,
    labels: NDArray[np.float32],
    findings: Sequence[FindingName],
    untrained: dict[FindingName, str | None],
    min_cases: int,
) -> dict[str, Estimate]:
    """The share of images with a finding on one side that the judge sees rather on that side.

    `said` are probabilities (N, findings, 2).
    """
    asked = one_side(labels)
    result: dict[str, Estimate] = {}
    right = total = 0
    for j, name in enumerate(findings):
        why = untrained[name]
        sided = asked[:, j] >= 0
        n = int(sided.sum())
        if not why and n < min_cases:
            why = f"asked for on one side in {n} images (at least {min_cases} needed)"
        if why:
            result[name] = not_measured(n, why)
            continue
        seen = said[sided, j].argmax(axis=1)
        hits = int((seen == asked[sided, j]).sum())
        result[name] = proportion(hits, n)
        right, total = right + hits, total + n
    if total:
        everything = proportion(right, total)
    else:
        everything = not_measured(0, "no finding has enough images with one side")
    return {ALL: everything, **result}
