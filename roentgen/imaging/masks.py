"""Masks in the geometry of their prepared images, and the one reduction of masks in size."""

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from roentgen.errors import InputError
from roentgen.imaging.images import Fit, encode_png, open_gray, placement

_JPEG = b"\xff\xd8"
_JPEG_NOISE = 64  # gray levels that compression may change
_TIE = 1e-3  # of a source pixel: a box this far off center halves no pixel evenly
_LEVELS = 8  # of areas that are thinned together


def prepare_mask(
    source: Path | bytes, image_size: tuple[int, int], size: int | None, fit: Fit
) -> bytes | None:
    """A mask file as a PNG of 0 and 255 in the geometry of its image after `prepare_image`.

    None: it has pixels, but all of them are cropped away.
    `image_size` is the (width, height) of the image before preparation; a mask of another size
    must have the same aspect to within a pixel. Raises InputError for another aspect, and for
    pixels that are no mask: a map of several labels, or values between outside and inside.
    """
    inside = _inside(source)
    name = source.name if isinstance(source, Path) else "the mask"
    width, height = image_size
    scale = inside.shape[1] / width
    if abs(inside.shape[0] - height * scale) > max(1.0, scale):
        raise InputError(
            f"mask {name} is {inside.shape[1]}x{inside.shape[0]}, its image {width}x{height}: "
            "they must have the same aspect"
        )
    if size is None:
        placed = resize_mask(inside, image_size, (0, 0, *inside.shape[::-1]))
    else:
        where = placement(width, height, size, fit)
        left, top, right, bottom = where.box
        across, down = inside.shape[1] / width, inside.shape[0] / height
        box = left * across, top * down, right * across, bottom * down
        x, y = where.offset
        placed = np.zeros((size, size), np.bool_)
        placed[y : y + where.inner[1], x : x + where.inner[0]] = resize_mask(
            inside, where.inner, box
        )
    if inside.any() and not placed.any():
        return None
    return encode_png(255 * placed.astype(np.uint8))


def resize_mask(
    mask: NDArray[np.bool_], size: tuple[int, int], box: tuple[float, float, float, float]
) -> NDArray[np.bool_]:
    """The part `box` (left, top, right, bottom, in pixels) of a mask, at `size` (width, height).

    A pixel is inside if half of its area is, and in thin parts as `keep_thin_parts` has it.
    """
    if (box, size) == ((0, 0, *mask.shape[::-1]), mask.shape[::-1]):
        return mask
    area = _areas(mask, size, box)
    left, top, right, bottom = box
    half = _areas(mask, size, (left + _TIE, top + _TIE, right + _TIE, bottom + _TIE)) >= 0.5
    return keep_thin_parts(half, area, 1e-6)


def keep_thin_parts(
    inside: NDArray[np.bool_], area: NDArray[np.floating], least: float
) -> NDArray[np.bool_]:
    """A sampled mask [H, W] with the parts that are thinner than a pixel (a tube, a line).

    `area` is the share of each pixel that the mask covers. Pixels with more than `least` are added
    to those `inside`, so that nothing vanishes or falls apart, and are removed in order of their
    area, but for those that connect others or end a line (sequential thinning; the connectivity
    number of Yokoi et al. 1975).
    """
    return _thinned(inside | (area > least), np.where(inside, np.inf, area))


def _areas(
    mask: NDArray[np.bool_], size: tuple[int, int], box: tuple[float, float, float, float]
) -> NDArray[np.float32]:
    """The share of each new pixel's area that is inside."""
    left, top, right, bottom = box
    rows = _overlaps(top, bottom, size[1], mask.shape[0])
    columns = _overlaps(left, right, size[0], mask.shape[1])
    areas: NDArray[np.float32] = (columns @ (rows @ mask.astype(np.float32)).T).T
    return areas


def _overlaps(start: float, stop: float, count: int, length: int) -> sparse.csr_array:
    """(count, length): the share of each of `count` equal intervals that each old pixel covers."""
    edges = np.linspace(start, stop, count + 1)[:, None]
    pixels = np.arange(length)
    shared = np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels)
    return sparse.csr_array((shared.clip(min=0) * count / (stop - start)).astype(np.float32))


def _thinned(mask: NDArray[np.bool_], area: NDArray[np.floating]) -> NDArray[np.bool_]:
    """The mask without the pixels of an area below a half that are not needed."""
    padded = np.pad(mask, 1)
    width = padded.shape[1]
    ring = (1, 1 - width, -width, -width - 1, -1, width - 1, width, width + 1)  # from east, around
    low = np.flatnonzero(np.pad(mask & (area < np.inf), 1))
    levels = (np.pad(area, 1).ravel()[low] * _LEVELS).astype(int)
    on = bytearray(padded.astype(np.uint8).tobytes())
    removable = _removable()
    for level in np.unique(levels):
        pixels = low[levels == level].tolist()
        for ahead in ring[::2]:  # one side at a time: a line two pixels wide keeps one
            for pixel in pixels:
                if on[pixel] and not on[pixel + ahead] and on[pixel - ahead]:
                    code = sum(on[pixel + step] << place for place, step in enumerate(ring))
                    on[pixel] = not removable[code]
    result = np.frombuffer(on, np.uint8).reshape(padded.shape)[1:-1, 1:-1]
    return result.astype(np.bool_)


@cache
def _removable() -> list[bool]:
    """By the 8 neighbors' bits, counterclockwise from east: whether a pixel may be removed.

    It must not connect its neighbors (Yokoi's number for 8-connectivity is 1), nor be an end: of
    one neighbor, or of two beside each other.
    """
    found = []
    for code in range(256):
        x = [code >> place & 1 for place in range(8)] * 2
        off = [1 - bit for bit in x]
        number = sum(off[k] - off[k] * off[k + 1] * off[k + 2] for k in (0, 2, 4, 6))
        beside = any(x[k] and x[k + 1] for k in range(8))
        count = sum(x[:8])
        found.append(number == 1 and (count > 2 or (count == 2 and not beside)))
    return found


def _inside(source: Path | bytes) -> NDArray[np.bool_]:
    """Any of 0/1, 0/255, 1-bit and slightly noisy (JPEG) masks."""
    pixels = np.asarray(open_gray(source))
    top = int(pixels.max())
    name = source.name if isinstance(source, Path) else "the mask"
    if 1 < top < 128:
        raise InputError(
            f"mask {name} has the values 0 to {top}: expected 0 and 1 or 0 and 255, "
            "one file a structure"
        )
    noise = _JPEG_NOISE if _is_jpeg(source) else 0
    between = pixels[(pixels > noise) & (pixels < top - noise)]
    if len(between):
        raise InputError(
            f"mask {name} has the value {between[0]} between 0 and {top}: one file a structure, "
            "resized by the nearest neighbor"
        )
    return np.asarray(pixels >= min(128, max(top, 1)))


def _is_jpeg(source: Path | bytes) -> bool:
    if isinstance(source, bytes):
        return source.startswith(_JPEG)
    with source.open("rb") as file:
        return file.read(len(_JPEG)) == _JPEG
