"""The best, the median and the worst images of a set, as a classifier judges them."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from eval.report.formatting import number
from eval.report.section import Pictures, Strip
from roentgen.dataset.image_set import ImageSet
from roentgen.record.findings import FindingName

Floats = NDArray[np.float64]
_LEAST = 1e-7  # of a probability, so that no logarithm is infinite


def losses(probabilities: Floats, labels: NDArray[np.floating]) -> Floats:
    """Mean binary cross-entropy of each image over its findings that are known; none: NaN.

    (N, findings) each; labels are 1, 0 and NaN for what is not known.
    """
    said = probabilities.clip(_LEAST, 1 - _LEAST)
    terms = -np.where(labels == 1, np.log(said), np.log1p(-said))
    known = ~np.isnan(labels)
    total = np.where(known, terms, 0.0).sum(axis=1)
    count = known.sum(axis=1)
    result: Floats = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
    return result


def ranks(loss: Floats, count: int) -> dict[str, NDArray[np.int64]]:
    """Rows of the least, the middle and the greatest loss, `count` each, without the unknown.

    Where there are fewer than three times as many, some come twice.
    """
    order = np.argsort(loss, kind="stable")[: int(np.isfinite(loss).sum())]
    first = max(0, (len(order) - count) // 2)
    return {
        "Best": order[:count],
        "Median": order[first : first + count],
        "Worst": order[::-1][:count],
    }


def extremes(
    judged: Mapping[str, tuple[ImageSet, Floats]], findings: Sequence[FindingName], count: int
) -> list[Pictures]:
    """The images of each set at each rank, given the judge's probabilities (N, findings)."""
    found = {}
    for name, (images, probabilities) in judged.items():
        loss = losses(probabilities, images.labels)
        found[name] = loss, ranks(loss, count)
    result = []
    for rank in ("Best", "Median", "Worst"):
        strips = tuple(
            _strip(name, *judged[name], found[name][0], row, findings, rank)
            for name in judged
            for row in found[name][1][rank].tolist()
        )
        result.append(Pictures(title=rank, strips=strips))
    return result


def _strip(
    name: str,
    images: ImageSet,
    probabilities: Floats,
    loss: Floats,
    row: int,
    findings: Sequence[FindingName],
    rank: str,
) -> Strip:
    """One image with what was asked, and the finding that the judge read most wrongly."""
    labels, said = images.labels[row], probabilities[row]
    asked = ", ".join(f for f, label in zip(findings, labels, strict=True) if label == 1)
    wrong = [abs(p - y) if not math.isnan(y) else -1.0 for p, y in zip(said, labels, strict=True)]
    k = int(np.argmax(wrong))
    is_asked = "present" if labels[k] == 1 else "absent"
    told = "held-out real" if name in ("test", "train") else name
    verb = "labelled" if told == "held-out real" else "asked for"
    caption = (
        f"{told}: {verb} {asked or 'none of the findings'}; loss {number(float(loss[row]))}; "
        f"furthest off: {findings[k]}, {is_asked}, judged {number(float(said[k]))}"
    )
    return Strip(caption=caption, alt=f"{rank}: {caption}", images=images.images[np.array([row])])
