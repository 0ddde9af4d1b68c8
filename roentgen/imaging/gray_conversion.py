"""Conversion of an image of any mode and depth to 8-bit gray."""

import numpy as np
from PIL import Image

from roentgen.errors import InputError
from roentgen.imaging.dicom.jpeg_codestream import check_complete, parse_codestream
from roentgen.imaging.gray_range import robust_range, sampled, to_levels

_MAX_COLOR_PIXELS = 1 << 25  # of up to 8 bytes; of gray ones Pillow allows 89 million
_STRIP = 64  # rows that are converted together
_PHOTOMETRIC, _BITS_PER_SAMPLE, _SAMPLE_FORMAT = 262, 258, 339  # TIFF tags


def is_deep(image: Image.Image, data: bytes) -> bool:
    """Whether a pixel has more than 8 bits, so that its range is to be known or measured."""
    return image.mode.startswith("I") or _has_deep_channels(image, data)


def to_gray(image: Image.Image, data: bytes, white: int | None) -> Image.Image:
    """An image that Pillow opened, and its file, as mode "L"; black and white as in `open_gray`.

    Raises InputError for floating-point and signed 8-bit pixels, and an enormous image in color.
    """
    if image.mode == "F":
        raise InputError("floating-point pixels have no known range; give 8- or 16-bit integers")
    if image.mode == "L" and getattr(image, "tag_v2", {}).get(_SAMPLE_FORMAT) == (2,):
        raise InputError("has signed pixels of 8 bits: give unsigned or 16-bit integers")
    color = image.mode not in ("1", "L") and not image.mode.startswith("I")
    if color and image.width * image.height > _MAX_COLOR_PIXELS:
        raise InputError(f"has {image.width}x{image.height} pixels in color: no radiograph has")
    if _has_deep_channels(image, data):
        return Image.fromarray(_scaled(_luminance(data, image), white))
    image.load()
    if image.mode.startswith("I"):
        gray = _scaled(np.asarray(image), white)
        # Pillow reads 16 bits as they are stored, also where white is 0.
        inverse = getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == 0
        return Image.fromarray(255 - gray if inverse else gray)
    if image.has_transparency_data:
        return _over_black(image)
    if image.mode == "P":
        image = image.convert("RGB")
    return image.convert("L")


def deep_jpeg_to_gray(data: bytes, white: int | None) -> Image.Image | None:
    """A JPEG of more than 8 bits, which Pillow does not read, as mode "L"; None for another file.

    Raises InputError for a truncated, an enormous and a color one.
    """
    if not data.startswith(b"\xff\xd8"):
        return None
    stream = parse_codestream(data)
    if stream.precision == 8:
        return None
    from imagecodecs import jpeg8_decode

    pixels = stream.width * stream.height
    check_complete(data, pixels)
    if stream.components != 1 or pixels > _MAX_COLOR_PIXELS:
        raise InputError(
            f"has {stream.width}x{stream.height} pixels of {stream.components} components of "
            f"{stream.precision} bits: no radiograph has"
        )
    return Image.fromarray(_scaled(jpeg8_decode(data), white))


def _scaled(pixels: np.ndarray, white: int | None) -> np.ndarray:
    """Pixels of more than 8 bits as uint8."""
    return to_levels(pixels, *((0, white) if white else robust_range(sampled(pixels))))


def _over_black(image: Image.Image) -> Image.Image:
    """A transparent image over black, some rows at a time."""
    gray = Image.new("L", image.size)
    for top in range(0, image.height, _STRIP):
        rows = image.crop((0, top, image.width, min(top + _STRIP, image.height))).convert("RGBA")
        black = Image.new("RGBA", rows.size, (0, 0, 0, 255))
        gray.paste(Image.alpha_composite(black, rows).convert("L"), (0, top))
    return gray


def _has_deep_channels(image: Image.Image, data: bytes) -> bool:
    """Whether it has several channels of 16 bits, of which Pillow reads the upper 8 only."""
    if image.format == "PNG":
        return data[24] == 16 and data[25] != 0
    bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, ())
    return len(bits) > 1 and set(bits) == {16} and image.mode != "CMYK"


def _luminance(data: bytes, image: Image.Image) -> np.ndarray:
    """The luminance, uint16 [H, W], of 16-bit channels: gray or RGB, with or without alpha."""
    from imagecodecs import png_decode, tiff_decode

    channels = png_decode(data) if image.format == "PNG" else tiff_decode(data)
    if channels.ndim == 3 and channels.shape[1:] == (image.height, image.width):
        channels = np.moveaxis(channels, 0, 2)  # of a TIFF with planes
    if channels.shape[:2] != (image.height, image.width) or channels.ndim != 3:
        raise InputError(f"has channels of shape {channels.shape}, expected one after the other")
    count = channels.shape[2]
    # The weights of ITU-R 601-2, as Pillow has them.
    weights = np.array([1] if count < 3 else [0.299, 0.587, 0.114], np.float32)
    gray = np.empty(channels.shape[:2], np.uint16)
    for top in range(0, len(gray), _STRIP):
        rows = channels[top : top + _STRIP]
        luminance = rows[..., : len(weights)] @ weights
        if count in (2, 4):
            luminance *= rows[..., -1] / np.float32(65535)
        gray[top : top + _STRIP] = np.rint(luminance)
    return gray
