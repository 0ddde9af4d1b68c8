"""Whether a finding is on the side that was asked for.

A network that pools over the whole image forgets where things are. So the judge is shown each half
by itself, the other one black, and learns what is present on that side.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from roentgen.data.findings import FindingName
from roentgen.data.pixels import Images
from roentgen.data.radiograph import Radiograph
from roentgen.metrics.estimates import Estimate, Floats, not_measured, proportion
from roentgen.models.labels import NotMentioned, label_matrix

ALL = "all findings"
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


def one_side(labels: NDArray[np.float32]) -> NDArray[np.int64]:
    """(N, findings): 0 where a finding is on the left alone, 1 on the right alone, else -1."""
    left, right = labels[:, :, 0], labels[:, :, 1]
    return np.where((left == 1) & (right == 0), 0, np.where((left == 0) & (right == 1), 1, -1))


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
