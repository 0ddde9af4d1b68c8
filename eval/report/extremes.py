"""Best, median and worst images of a set by the loss of a reference classifier."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from eval.report.formatting import HELD_OUT, number
from eval.report.section import Pictures, Strip
from roentgen.dataset.image_set import ImageSet
from roentgen.record.findings import FindingName

Floats = NDArray[np.float64]
_LEAST = 1e-7  # of a probability, so that no logarithm is infinite


def losses(probabilities: Floats, labels: NDArray[np.floating]) -> Floats:
    """Mean binary cross-entropy (N,) of each image over its known findings; NaN without any.

    (N, findings) each; labels are 1, 0 and NaN for unknown.
    """
    clipped = probabilities.clip(_LEAST, 1 - _LEAST)
    terms = -np.where(labels == 1, np.log(clipped), np.log1p(-clipped))
    known = ~np.isnan(labels)
    total = np.where(known, terms, 0.0).sum(axis=1)
    count = known.sum(axis=1)
    result: Floats = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
    return result


def ranks(loss: Floats, count: int) -> dict[str, NDArray[np.int64]]:
    """Rows of the smallest, the middle and the largest losses that are known, `count` each.

    With fewer than three times as many, some appear twice.
    """
    order = np.argsort(loss, kind="stable")[: int(np.isfinite(loss).sum())]
    first = max(0, (len(order) - count) // 2)
    return {
        "Best": order[:count],
        "Median": order[first : first + count],
        "Worst": order[::-1][:count],
    }


def extremes(
    predictions: Mapping[str, tuple[ImageSet, Floats]], findings: Sequence[FindingName], count: int
) -> list[Pictures]:
    """The images of each set at each rank, given the classifier's probabilities (N, findings)."""
    found = {}
    for name, (images, probabilities) in predictions.items():
        loss = losses(probabilities, images.labels)
        found[name] = loss, ranks(loss, count)
    result = []
    for rank in ("Best", "Median", "Worst"):
        strips = tuple(
            _strip(name, *predictions[name], found[name][0], row, findings, rank)
            for name in predictions
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
    """One image with its labels, and the finding with the largest error."""
    labels, predicted = images.labels[row], probabilities[row]
    present = ", ".join(f for f, label in zip(findings, labels, strict=True) if label == 1)
    errors = [
        abs(p - y) if not math.isnan(y) else -1.0 for p, y in zip(predicted, labels, strict=True)
    ]
    k = int(np.argmax(errors))
    state = "present" if labels[k] == 1 else "absent"
    is_real = name in ("test", "train")
    caption = (
        f"{HELD_OUT if is_real else name}: {'labeled' if is_real else 'requested'} "
        f"{present or 'none of the findings'}; loss {number(float(loss[row]))}; largest error: "
        f"{findings[k]}, {state}, predicted {number(float(predicted[k]))}"
    )
    return Strip(caption=caption, alt=f"{rank}: {caption}", images=images.images[np.array([row])])
