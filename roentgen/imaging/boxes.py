"""Boxes with the same geometry as their images."""

import math

from roentgen.errors import InputError
from roentgen.imaging.images import Fit, placement
from roentgen.record.radiograph import Box

_OVERHANG = 0.02  # of the longer side: readers draw a little beyond the film


def place_box(
    structure: str,
    left: float,
    top: float,
    right: float,
    bottom: float,
    *,
    width: int,
    height: int,
    size: int,
    fit: Fit,
) -> Box | None:
    """A box in pixels of its source image, on the image as `prepare_image` leaves it.

    Coordinates are edges: a box around all of the image is 0, 0, width, height. None where nothing
    of it is left (cropped away). Raises InputError for one without an area, or that reaches so far
    beyond the image that it was drawn on an image of another size.
    """
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
    """An interval of the source's [first, last] where that becomes `inner` pixels at `offset`."""
    scale = inner / (last - first)
    return (
        offset + (max(low, first) - first) * scale,
        offset + (min(high, last) - first) * scale,
    )
