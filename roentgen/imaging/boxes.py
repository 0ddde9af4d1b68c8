"""Boxes in the geometry of their prepared images."""

import math
from collections.abc import Iterable
from typing import NamedTuple

from roentgen.errors import InputError
from roentgen.imaging.images import Fit, placement
from roentgen.record.radiograph import Box

_OVERHANG = 0.02  # of the longer side: readers draw a little beyond the image


class SourceBox(NamedTuple):
    """A rectangle around a structure, in pixels of the image as the corpus has it."""

    structure: str
    left: float
    top: float
    right: float
    bottom: float


def place_boxes(
    boxes: Iterable[SourceBox], image_size: tuple[int, int], size: int, fit: Fit
) -> tuple[Box, ...]:
    """The boxes on the image as `prepare_image` leaves it, without those that are cropped away.

    `image_size` is the (width, height) of the source image; see `place_box` for the errors.
    """
    placed = (place_box(box, image_size, size, fit) for box in boxes)
    return tuple(box for box in placed if box is not None)


def place_box(source: SourceBox, image_size: tuple[int, int], size: int, fit: Fit) -> Box | None:
    """A box on the image as `prepare_image` leaves it; None if it is cropped away.

    Coordinates are edges: a box around all of the image is 0, 0, width, height. Raises InputError
    for a box without an area, or one that reaches so far beyond the image that it was drawn on an
    image of another size.
    """
    structure, left, top, right, bottom = source
    width, height = image_size
    edges = (left, top, right, bottom)
    name = f"box of {structure} ({left:g}, {top:g}, {right:g}, {bottom:g})"
    if not all(map(math.isfinite, edges)) or left >= right or top >= bottom:
        raise InputError(f"{name} has no area: expected left < right and top < bottom")
    reach = _OVERHANG * max(width, height)
    if min(left, top) < -reach or right > width + reach or bottom > height + reach:
        raise InputError(
            f"{name} reaches beyond its image of {width}x{height}: give the image of the size that "
            "the boxes were drawn on"
        )
    where = placement(width, height, size, fit)
    across, down = (
        (where.box[i], where.box[i + 2], where.inner[i], where.offset[i]) for i in (0, 1)
    )
    x0, x1 = _place(left, right, *across)
    y0, y1 = _place(top, bottom, *down)
    if x0 >= x1 or y0 >= y1:
        return None
    return Box(structure=structure, left=x0, top=y0, right=x1, bottom=y1)


def _place(
    low: float, high: float, first: int, last: int, inner: int, offset: int
) -> tuple[float, float]:
    """The interval [low, high] where [first, last] becomes `inner` pixels from `offset` on."""
    scale = inner / (last - first)
    return (
        offset + (max(low, first) - first) * scale,
        offset + (min(high, last) - first) * scale,
    )
