"""Motions of masks: maps from coordinates of the result to coordinates of the source.

Coordinates are float64 [2, ...], rows and columns from the center of the first pixel. Each pixel
takes the value of the nearest one of the source, and lines and tubes stay whole.
"""

import math
from collections.abc import Callable
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import (
    binary_dilation,
    binary_opening,
    binary_propagation,
    gaussian_filter,
    map_coordinates,
)

from roentgen.imaging.masks import keep_thin_parts

Mask = NDArray[np.bool_]
Coordinates = NDArray[np.float64]
Motion = Callable[[Coordinates], Coordinates]

_KNOTS = 33  # per side of the grid on which smooth displacements are drawn, at any image size
_RAYS = 360  # directions in which the wall is located
_LUNG_LEFT = 0.1  # share of a region that must be lung to locate its center
_WAVES = 3  # around the lung, in a change of thickness
_SQUARE = np.ones((3, 3), np.bool_)
_LINE = 8  # pixels that a line reaches beyond what is solid, at least
_SUBPIXELS = 4  # a side of a pixel, of whose area they are the measure
_LEAST_AREA = 0.1  # of a pixel that may complete a line


def pixel_grid(shape: tuple[int, ...]) -> Coordinates:
    """The coordinates of all pixels, [2, H, W]."""
    return np.indices(shape).astype(np.float64)


def sample_mask(mask: Mask, coordinates: Coordinates) -> Mask:
    """The mask at the source coordinates [2, H, W] of each pixel; False beyond its edges.

    It is the mask's pixel nearest to each coordinate; where the mask is a line or a tube, also
    what else of a pixel's area connects it.
    """
    inside, lines = _nearest(mask, coordinates), _lines(mask)
    if not lines.any():
        return inside
    down, across = (np.gradient(coordinates, axis=axis) for axis in (1, 2))
    reach = math.ceil(0.5 * (np.abs(down) + np.abs(across)).max() + 0.5)  # of a pixel's own area
    near = binary_dilation(lines, _SQUARE, iterations=reach)
    border = np.nonzero(_nearest(near, coordinates) & ~inside)
    area = np.zeros(inside.shape, np.float32)
    steps = (np.arange(_SUBPIXELS) + 0.5) / _SUBPIXELS - 0.5
    for row, column in product(steps, steps):
        place = [
            c[border] + row * d[border] + column * a[border]
            for c, d, a in zip(coordinates, down, across, strict=True)
        ]
        area[border] += _nearest(lines, np.stack(place))
    return keep_thin_parts(inside, area / _SUBPIXELS**2, _LEAST_AREA)


def _nearest(mask: Mask, coordinates: Coordinates) -> Mask:
    """The mask's pixel nearest to each coordinate; False beyond its edges."""
    row, column = np.rint(coordinates).astype(np.int64)
    height, width = mask.shape
    within = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    return np.asarray(within & mask[row.clip(0, height - 1), column.clip(0, width - 1)])


def _lines(mask: Mask) -> Mask:
    """The parts of a mask that are one or two pixels wide, and not merely edges of solid ones."""
    solid = binary_opening(mask, _SQUARE)
    thin = mask & ~solid
    far = thin & ~binary_dilation(solid, _SQUARE, iterations=_LINE)
    return np.asarray(binary_propagation(far, _SQUARE, mask=thin))


def affine(
    center: tuple[float, float],
    *,
    shift: tuple[float, float] = (0.0, 0.0),
    scale: float = 1.0,
    rotation: float = 0.0,
    shear: float = 0.0,
) -> Motion:
    """Scale, shear and rotate about `center` (row, column), then shift by pixels down and right.

    `rotation` is in degrees counterclockwise; `shear` tilts vertical lines by so many degrees to
    the right and preserves areas.
    """
    c, s = math.cos(math.radians(rotation)), math.sin(math.radians(rotation))
    rotate = np.array([[c, -s], [s, c]])  # of rows and columns; rows run down
    tilt = np.array([[1.0, 0.0], [-math.tan(math.radians(shear)), 1.0]])
    inverse = np.linalg.inv(rotate @ tilt * scale)
    middle = np.array(center)
    offset = middle + np.array(shift)

    def move(to: Coordinates) -> Coordinates:
        relative = to - offset.reshape(2, *[1] * (to.ndim - 1))
        moved = np.tensordot(inverse, relative, axes=1)
        return np.asarray(moved + middle.reshape(2, *[1] * (to.ndim - 1)))

    return move


def elastic(rng: np.random.Generator, side: int, *, reach: float, width: float) -> Motion:
    """A smooth random displacement of at most `reach` pixels (Simard et al. 2003).

    `width` is the standard deviation of its smoothing as a share of the `side` of the image, which
    is in pixels. Relative to the side, a generator gives the same displacement at any size.
    """
    noise = rng.standard_normal((2, _KNOTS, _KNOTS))
    smooth = np.stack([gaussian_filter(layer, width * (_KNOTS - 1)) for layer in noise])
    smooth *= reach / np.hypot(*smooth).max()

    def move(to: Coordinates) -> Coordinates:
        knots = to * ((_KNOTS - 1) / (side - 1))
        shifts = [map_coordinates(layer, knots, order=1, mode="nearest") for layer in smooth]
        return np.asarray(to + np.stack(shifts))

    return move


def stretch_from_base(region: Mask, factor: float) -> Motion:
    """Multiply heights above the region's lowest pixel in each column by `factor`.

    Fluid rises or falls, and its base stays where it is.
    """
    height = region.shape[0]
    columns = np.flatnonzero(region.any(axis=0))
    base = height - 1 - region[::-1].argmax(axis=0)

    def move(to: Coordinates) -> Coordinates:
        row, column = to
        lowest = np.interp(column, columns, base[columns])
        return np.stack([lowest - (lowest - row) / factor, column])

    return move


def stretch_from_wall(
    rng: np.random.Generator, air: Mask, region: Mask, *, thickness: float
) -> Motion:
    """Make the air between the lung and the wall of its region thicker or thinner.

    Along each ray from the center of the remaining lung (`region` without `air`), distances from
    the wall are multiplied or divided by up to 1 + `thickness`, varying smoothly from ray to ray.
    The wall and the air next to it stay in place. Where less than a tenth of the region is lung,
    no center can be located, and nothing moves.
    """
    lung = np.argwhere(region & ~air)
    if len(lung) < _LUNG_LEFT * region.sum():
        return lambda to: to
    row, column = lung.mean(axis=0).tolist()
    wall = _wall_distances(region, row, column)
    factors = (1 + thickness) ** _smooth_noise(rng)

    def move(to: Coordinates) -> Coordinates:
        down, right = to[0] - row, to[1] - column
        distance = np.hypot(down, right)
        ray = np.arctan2(down, right) * (_RAYS / (2 * np.pi))
        reach = _at(wall, ray)
        source = np.maximum(reach - (reach - distance) / _at(factors, ray), 0.0)
        share = source / np.maximum(distance, 1e-9)
        return np.stack([row + down * share, column + right * share])

    return move


def _smooth_noise(rng: np.random.Generator) -> NDArray[np.float64]:
    """Smooth random values in [-1, 1] around a circle, [rays]: half a constant, half waves."""
    angles = np.arange(_RAYS) * (2 * np.pi / _RAYS)
    phases = np.arange(1, _WAVES + 1)[:, None] * angles
    sines, cosines = rng.standard_normal((2, _WAVES))
    waves = sines @ np.sin(phases) + cosines @ np.cos(phases)
    return np.asarray((rng.uniform(-1, 1) + waves / np.abs(waves).max()) / 2)


def _wall_distances(region: Mask, row: float, column: float) -> NDArray[np.float64]:
    """The distances from a point to the edge of a region in each direction, in pixels, [rays]."""
    down, right = np.nonzero(region)
    distance = np.hypot(down - row, right - column)
    ray = np.rint(np.arctan2(down - row, right - column) * (_RAYS / (2 * np.pi)))
    reach = np.zeros(_RAYS)
    np.maximum.at(reach, ray.astype(np.int64) % _RAYS, distance)
    seen = np.flatnonzero(reach)
    return np.interp(np.arange(_RAYS), seen, reach[seen], period=_RAYS)


def _at(values: NDArray[np.float64], ray: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values of rays, interpolated around the circle."""
    below = np.floor(ray)
    share = ray - below
    first = below.astype(np.int64) % _RAYS
    return (1 - share) * values[first] + share * values[(first + 1) % _RAYS]
