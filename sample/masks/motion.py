"""Ways to move masks: each tells for places of the result which place of the source they show.

Places are float64 [2, ...], rows and columns counted from the centre of the first pixel. As many
pixels are read as are written, each its nearest: no value is ever blended.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

Mask = NDArray[np.bool_]
Places = NDArray[np.float64]
Motion = Callable[[Places], Places]

_KNOTS = 33  # a side, of the grid that smooth displacements are drawn on: alike for all sizes
_RAYS = 360  # directions in which a wall is looked for
_LUNG_LEFT = 0.1  # of a room, at least, to tell where its lung is
_WAVES = 3  # around the lung, of which a change of thickness is made


def grid(shape: tuple[int, ...]) -> Places:
    """The places of all pixels, [2, H, W]."""
    return np.indices(shape).astype(np.float64)


def sampled(mask: Mask, places: Places) -> Mask:
    """The mask's pixel nearest to each place; outside beyond its edges."""
    row, column = np.rint(places).astype(np.int64)
    height, width = mask.shape
    within = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    return np.asarray(within & mask[row.clip(0, height - 1), column.clip(0, width - 1)])


def affine(
    centre: tuple[float, float],
    *,
    shift: tuple[float, float] = (0.0, 0.0),
    scale: float = 1.0,
    rotation: float = 0.0,
    shear: float = 0.0,
) -> Motion:
    """Magnify, shear, turn about `centre` (row, column), then shift by pixels down and right.

    `rotation` is in degrees counterclockwise; `shear` leans what is upright by so many degrees to
    the right, and leaves areas as they are.
    """
    c, s = math.cos(math.radians(rotation)), math.sin(math.radians(rotation))
    turn = np.array([[c, -s], [s, c]])  # of rows and columns; rows run down
    lean = np.array([[1.0, 0.0], [-math.tan(math.radians(shear)), 1.0]])
    back = np.linalg.inv(turn @ lean * scale)
    middle = np.array(centre)
    offset = middle + np.array(shift)

    def move(places: Places) -> Places:
        relative = places - offset.reshape(2, *[1] * (places.ndim - 1))
        moved = np.tensordot(back, relative, axes=1)
        return np.asarray(moved + middle.reshape(2, *[1] * (places.ndim - 1)))

    return move


def elastic(rng: np.random.Generator, side: int, *, reach: float, width: float) -> Motion:
    """A smooth random displacement of at most `reach` pixels (Simard et al. 2003).

    `width` is the standard deviation of its smoothing as a share of the `side`, in pixels, of the
    image. The same generator gives the same displacement, in shares of the side, at any size.
    """
    noise = rng.standard_normal((2, _KNOTS, _KNOTS))
    smooth = np.stack([gaussian_filter(layer, width * (_KNOTS - 1)) for layer in noise])
    smooth *= reach / np.hypot(*smooth).max()

    def move(places: Places) -> Places:
        knots = places * ((_KNOTS - 1) / (side - 1))
        shifts = [map_coordinates(layer, knots, order=1, mode="nearest") for layer in smooth]
        return np.asarray(places + np.stack(shifts))

    return move


def from_base(room: Mask, factor: float) -> Motion:
    """Heights above the lowest pixel that the room has in each column are multiplied by `factor`.

    Fluid rises or sinks, and stands on its base as before.
    """
    height = room.shape[0]
    columns = np.flatnonzero(room.any(axis=0))
    base = height - 1 - room[::-1].argmax(axis=0)

    def move(places: Places) -> Places:
        row, column = places
        lowest = np.interp(column, columns, base[columns])
        return np.stack([lowest - (lowest - row) / factor, column])

    return move


def from_wall(rng: np.random.Generator, part: Mask, room: Mask, *, thickness: float) -> Motion:
    """What lies between the lung and the wall of its room becomes thicker or thinner.

    Along each ray from the middle of what is left of the lung (`room` without `part`), distances
    from the wall are multiplied by up to 1 + `thickness` or divided by it, varying smoothly from
    ray to ray. The wall itself stays, and air at it. Where less than a tenth of the room is lung,
    it has no shape to go by, and nothing moves.
    """
    lung = np.argwhere(room & ~part)
    if len(lung) < _LUNG_LEFT * room.sum():
        return lambda places: places
    row, column = lung.mean(axis=0).tolist()
    wall = _wall(room, row, column)
    factors = (1 + thickness) ** _uneven(rng)

    def move(places: Places) -> Places:
        down, right = places[0] - row, places[1] - column
        distance = np.hypot(down, right)
        ray = np.arctan2(down, right) * (_RAYS / (2 * np.pi))
        reach = _at(wall, ray)
        source = np.maximum(reach - (reach - distance) / _at(factors, ray), 0.0)
        share = source / np.maximum(distance, 1e-9)
        return np.stack([row + down * share, column + right * share])

    return move


def _uneven(rng: np.random.Generator) -> NDArray[np.float64]:
    """Numbers in -1..1 around a circle, [rays]: one for all, and as large waves."""
    angles = np.arange(_RAYS) * (2 * np.pi / _RAYS)
    phases = np.arange(1, _WAVES + 1)[:, None] * angles
    sines, cosines = rng.standard_normal((2, _WAVES))
    waves = sines @ np.sin(phases) + cosines @ np.cos(phases)
    return np.asarray((rng.uniform(-1, 1) + waves / np.abs(waves).max()) / 2)


def _wall(room: Mask, row: float, column: float) -> NDArray[np.float64]:
    """How far the room reaches from a place in each direction, in pixels, [rays]."""
    down, right = np.nonzero(room)
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
