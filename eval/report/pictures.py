"""Grids of real and synthetic images by finding and view; images as data URIs."""

import base64
import io
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from eval.report.formatting import HELD_OUT
from eval.report.section import Pictures, Strip
from roentgen.dataset.image_set import ImageSet
from roentgen.randomness import numpy_generator
from roentgen.record.findings import FindingName
from roentgen.record.findings import states as states_of
from roentgen.record.radiograph import Radiograph
from roentgen.record.views import VIEWS

_GAP = 2  # pixels between images in a strip
_QUALITY = 85  # JPEG
_LARGEST, _SMALLEST = 256, 64  # pixels a side on the page
_BUDGET = 6_000_000  # pixels on a page, about 2 MB of JPEG


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
    kind = "real" if name in ("test", "train") else "synthetic"
    label = HELD_OUT if name == "test" else name
    return Strip(
        caption=f"{label}: {len(chosen)} of {len(members)}",
        images=images.images[np.asarray(chosen)] if chosen else None,
        alt=f"{len(chosen)} {kind} images of set {name}: {title}",
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
