"""Masks in the geometry of their prepared images."""

from pathlib import Path

import numpy as np
from PIL import Image

from roentgen.errors import InputError
from roentgen.imaging.images import Fit, encode_png, open_gray, place, placement

_JPEG = b"\xff\xd8"
_JPEG_NOISE = 64  # gray levels that compression may change


def prepare_mask(
    source: Path | bytes, image_size: tuple[int, int], size: int | None, fit: Fit
) -> bytes:
    """A mask file as a PNG of 0 and 255 in the geometry of its image after `prepare_image`.

    `image_size` is the (width, height) of the image before preparation; a mask of another size
    must have the same aspect to within a pixel. Raises InputError for another aspect, and for
    pixels that are no mask: a map of several labels, or values between outside and inside.
    """
    mask = _to_black_and_white(source)
    name = source.name if isinstance(source, Path) else "the mask"
    width, height = image_size
    scale = mask.width / width
    if abs(mask.height - height * scale) > max(1.0, scale):
        raise InputError(
            f"mask {name} is {mask.width}x{mask.height}, its image {width}x{height}: "
            "they must have the same aspect"
        )
    if mask.size != image_size:
        mask = mask.resize(image_size, Image.Resampling.NEAREST)
    if size is not None:
        where = placement(width, height, size, fit)
        mask = place(mask, where, size, Image.Resampling.NEAREST)
    return encode_png(np.asarray(mask))


def _to_black_and_white(source: Path | bytes) -> Image.Image:
    """Any of 0/1, 0/255, 1-bit and slightly noisy (JPEG) masks as a mode "L" image of 0 and 255."""
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
    return Image.fromarray(np.where(pixels >= min(128, max(top, 1)), 255, 0).astype(np.uint8))


def _is_jpeg(source: Path | bytes) -> bool:
    if isinstance(source, bytes):
        return source.startswith(_JPEG)
    with source.open("rb") as file:
        return file.read(len(_JPEG)) == _JPEG
