"""Pixels in and out: any image file to gray 8-bit at the wanted size, PNG bytes, tensors."""

import io
import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from roentgen.errors import InputError

if TYPE_CHECKING:
    import torch

Fit = Literal["pad", "crop"]

# What Pillow's readers raise on damaged files, found by mutating files.
_DAMAGE = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where an image lands in a square: its part `box` is resized to `inner`, put at `offset`."""

    box: tuple[int, int, int, int]  # left, top, right, bottom in source pixels
    inner: tuple[int, int]  # width, height in target pixels
    offset: tuple[int, int]  # left, top in target pixels


def placement(width: int, height: int, size: int, fit: Fit) -> Placement:
    """How an image fills a square of `size` without distortion.

    "pad" keeps all of it, centred on black; "crop" keeps the centred square of its short side.
    """
    if fit == "crop":
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        box = (left, top, left + side, top + side)
        return Placement(box=box, inner=(size, size), offset=(0, 0))
    scale = size / max(width, height)
    inner = max(1, round(width * scale)), max(1, round(height * scale))
    offset = (size - inner[0]) // 2, (size - inner[1]) // 2
    return Placement(box=(0, 0, width, height), inner=inner, offset=offset)


def place(image: Image.Image, where: Placement, size: int, how: Image.Resampling) -> Image.Image:
    """The gray image in its square."""
    part = image.resize(where.inner, how, box=where.box)
    if where.inner == (size, size):
        return part
    square = Image.new("L", (size, size), 0)
    square.paste(part, where.offset)
    return square


def open_gray(source: Path | bytes) -> Image.Image:
    """The image as mode "L", upright by its EXIF orientation, at its own size.

    More than 8 bits are scaled from the smallest bit depth that holds the brightest pixel, so 12
    bits in a 16-bit file are not black. Transparent pixels become black.
    Raises InputError naming the file when it is missing, empty, damaged, enormous or no image.
    """
    name = source.name if isinstance(source, Path) else "the image"
    try:
        data = source.read_bytes() if isinstance(source, Path) else source
    except OSError as error:
        raise InputError(f"cannot read image {source!s}: {error.strerror}") from None
    if not data:
        raise InputError(f"{name} is empty (0 bytes)")
    try:
        with warnings.catch_warnings():
            # Of damaged metadata Pillow warns, which says nothing of the pixels; of 89 to 179
            # megapixels it only warns as well, but no radiograph is that large.
            warnings.simplefilter("ignore", UserWarning)
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data)) as opened:
                opened.load()
                return _to_gray(ImageOps.exif_transpose(opened))
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    except _DAMAGE as error:
        reason = " ".join(str(error).split())
        if isinstance(error, UnidentifiedImageError):
            reason = "not an image of a known format"
        raise InputError(f"{name} cannot be decoded: {reason}") from None


def _to_gray(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise InputError("floating-point pixels have no known range; give 8- or 16-bit integers")
    if image.mode.startswith("I"):
        pixels = np.asarray(image).astype(np.int64).clip(min=0)
        full = (1 << max(8, int(pixels.max()).bit_length())) - 1
        return Image.fromarray(np.rint(pixels * (255 / full)).astype(np.uint8))
    if image.has_transparency_data:
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image.convert("RGBA"))
    if image.mode == "P":
        image = image.convert("RGB")
    return image.convert("L")


def prepare_image(source: Path | bytes, size: int | None, fit: Fit) -> np.ndarray:
    """An image file as uint8 [size, size] gray, never distorted or flipped; None keeps its size.

    Raises InputError for an unreadable file or one whose pixels are all alike.
    """
    image = open_gray(source)
    low, high = image.getextrema()
    if low == high:
        name = source.name if isinstance(source, Path) else "the image"
        raise InputError(f"{name} is of one colour")
    if size is not None:
        where = placement(image.width, image.height, size, fit)
        image = place(image, where, size, Image.Resampling.BICUBIC)
    return np.array(image)


def decode(image: bytes) -> np.ndarray:
    """The pixels of an encoded gray image: uint8 [height, width]."""
    return np.array(open_gray(image))


def encode_png(image: np.ndarray) -> bytes:
    """uint8 [height, width] as a gray PNG."""
    if image.dtype != np.uint8 or image.ndim != 2:
        raise ValueError(f"expected uint8 [height, width], got {image.dtype} {image.shape}")
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="PNG")
    return file.getvalue()


def to_tensor(image: np.ndarray) -> "torch.Tensor":
    """uint8 [H, W] as float32 [3, H, W] in [-1, 1], three equal channels."""
    import torch

    gray = torch.from_numpy(image.astype(np.float32)) / 127.5 - 1
    return gray.expand(3, -1, -1).contiguous()


def from_tensor(tensor: "torch.Tensor") -> np.ndarray:
    """[..., C, H, W] in [-1, 1] as uint8 [..., H, W]: the channels' mean, rounded and clipped."""
    import torch

    gray = tensor.detach().to("cpu", torch.float32).mean(dim=-3)
    levels: np.ndarray = ((gray + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy()
    return levels
