"""Pictures of the page: grids by finding and view, extremes by a classifier's loss, data URIs."""

import base64
import io
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from eval.report.section import HELD_OUT, Pictures, Strip, number
from roentgen.dataset.image_set import ImageSet
from roentgen.randomness import numpy_generator
from roentgen.record.finding import FindingName
from roentgen.record.finding import states as states_of
from roentgen.record.radiograph import VIEWS, Radiograph

_GAP = 2  # pixels between images in a strip
_QUALITY = 85  # JPEG
_LARGEST, _SMALLEST = 256, 64  # pixels a side on the page
_BUDGET = 6_000_000  # pixels on a page, about 2 MB of JPEG
Floats = NDArray[np.float64]
_LEAST = 1e-7  # of a probability, so that no logarithm is infinite


def grid(
    sets: Mapping[str, ImageSet], findings: Sequence[FindingName], *, count: int, seed: int
) -> list[Pictures]:
    """A row for each finding (and none of them) and view of which any set has an image.

    The images are sampled at random by the seed.
    """
    views = [*VIEWS, None]
    rows = []
    for finding in [*findings, None]:
        for view in views:
            found = {
                name: [
                    i
                    for i, record in enumerate(item.radiographs)
                    if record.view == view and _matches(record, finding, findings)
                ]
                for name, item in sets.items()
            }
            if not any(found.values()):
                continue
            label = finding or f"none of {', '.join(findings)}"
            title = f"{label}, {view or 'unknown view'}"
            strips = tuple(
                _strip(name, sets[name], members, title, count, seed)
                for name, members in found.items()
            )
            rows.append(Pictures(title=title[0].upper() + title[1:], strips=strips))
    return rows


def _matches(
    radiograph: Radiograph, finding: FindingName | None, findings: Sequence[FindingName]
) -> bool:
    present = {name for name, state in states_of(radiograph.findings).items() if state == "present"}
    return finding in present if finding else not present & set(findings)


def _strip(
    name: str, images: ImageSet, members: Sequence[int], title: str, count: int, seed: int
) -> Strip:
    drawn = numpy_generator(seed, "pictures", name, title).permutation(np.asarray(members, int))
    chosen = sorted(drawn[:count].tolist())
    label = HELD_OUT if name == "test" else name
    return Strip(
        caption=f"{label}: {len(chosen)} of {len(members)}",
        images=images.images[np.asarray(chosen)] if chosen else None,
        alt=f"{len(chosen)} images of {label}: {title}",
    )


def side_for(groups: Sequence[Pictures]) -> int:
    """The side in pixels at which the images of a page stay within its budget."""
    count = sum(len(s.images) for group in groups for s in group.strips if s.images is not None)
    return max(_SMALLEST, min(_LARGEST, math.isqrt(_BUDGET // max(1, count))))


def data_uri(images: NDArray[np.uint8], side: int) -> str:
    """(n, H, W[, 3]) images side by side as one JPEG, each at most `side` pixels high."""
    n, height, width, *channels = images.shape
    strip = np.full((height, n * (width + _GAP) - _GAP, *channels), 255, dtype=np.uint8)
    for i, image in enumerate(images):
        strip[:, i * (width + _GAP) : i * (width + _GAP) + width] = image
    picture = Image.fromarray(strip)
    if height > side:
        picture = picture.resize((picture.width * side // height, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


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
            _ranked_strip(name, *predictions[name], found[name][0], row, findings, rank)
            for name in predictions
            for row in found[name][1][rank].tolist()
        )
        result.append(Pictures(title=rank, strips=strips))
    return result


def _ranked_strip(
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
        f"{present or 'none of the findings'}"
    )
    detail = (
        f"loss {number(float(loss[row]))}; {findings[k]} ({state}) predicted "
        f"{number(float(predicted[k]))}"
    )
    return Strip(
        caption=caption,
        detail=detail,
        alt=f"{rank}: {caption}; {detail}",
        images=images.images[np.array([row])],
    )
