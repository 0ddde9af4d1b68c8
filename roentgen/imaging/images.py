"""Image files to gray 8-bit pixels at a size, and pixels to PNG, JPEG and tensors."""

import errno
import io
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from roentgen.errors import InputError
from roentgen.imaging.dicom.jpeg_codestream import check_complete
from roentgen.imaging.gray_conversion import deep_jpeg_to_gray, is_deep, to_gray
from roentgen.imaging.light import LightNote, light_notes
from roentgen.untrusted_files import LARGEST_FILE, read_bounded

if TYPE_CHECKING:
    import torch

Fit = Literal["pad", "crop"]

# Pillow would open more, some of them by running other programs (EPS).
_FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
_BARE_DICOM = (b"\x02\0", b"\x08\0")  # the group of the first element
# A large image is first reduced to no less than this many times the target size: compared with one
# reduction, radiographs then agree to more than 50 dB (2.0 gives 3 dB more in 1.5 times the time).
_MARGIN = 1.4


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where an image lands in a square: its part `box` is resized to `inner`, put at `offset`."""

    box: tuple[int, int, int, int]  # left, top, right, bottom in source pixels
    inner: tuple[int, int]  # width, height in target pixels
    offset: tuple[int, int]  # left, top in target pixels


def placement(width: int, height: int, size: int, fit: Fit) -> Placement:
    """How an image fills a square of `size` without distortion.

    "pad" keeps all of it, centered on black; "crop" keeps the center square of its short side.
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


def open_gray(source: Path | bytes, white: int | None = None) -> Image.Image:
    """The image as mode "L", upright by its EXIF or DICOM orientation, at its own size.

    8 bits stay as they are. Of more, 0 is black and `white` is white; if it is not given, the
    range is measured (gray_range.py), so 12 bits in a 16-bit file are not black. DICOM is
    displayed by its header (dicom/grayscale.py). Transparent pixels become black.
    Raises InputError naming the file when it is missing, empty, damaged, enormous or no image.
    """
    data = _read(source)
    with _named_errors(source):
        return _open(data, lambda width, height: 1, white).image


def image_size(source: Path | bytes) -> tuple[int, int]:
    """Width and height of the upright image, from its header alone. Raises InputError."""
    data = _read(source)
    with _named_errors(source):
        if _is_dicom(data):
            from roentgen.imaging.dicom.frame import read_size

            return read_size(data)
        with Image.open(io.BytesIO(data), formats=_FORMATS) as opened:
            sideways = opened.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8)
            return (opened.height, opened.width) if sideways else opened.size


def prepare_image(
    source: Path | bytes, size: int | None, fit: Fit, white: int | None = None
) -> np.ndarray:
    """An image file as uint8 [size, size] gray, never distorted or flipped; None keeps its size.

    See `read_prepared`.
    """
    return read_prepared(source, size, fit, white).pixels


class Prepared(NamedTuple):
    """A prepared image."""

    pixels: np.ndarray  # uint8 [size, size]
    light: tuple[LightNote, ...]


def read_prepared(
    source: Path | bytes,
    size: int | None,
    fit: Fit,
    white: int | None = None,
    *,
    chest_only: bool = False,
) -> Prepared:
    """As `prepare_image`, with the notes on the image's light.

    `white` is as in `open_gray`. Large images are decoded or averaged to a fraction of their size
    first, never below `_MARGIN` times the target size. Raises InputError for an unreadable file or
    one without contrast; UnwantedError, with `chest_only`, for DICOM of another modality or body
    part.
    """

    def enough(width: int, height: int) -> int:
        if size is None:
            return 1
        where = placement(width, height, size, fit)
        left, top, right, bottom = where.box
        scale = min((right - left) / where.inner[0], (bottom - top) / where.inner[1])
        return max(1, int(scale / _MARGIN))

    data = _read(source)
    with _named_errors(source):
        opened = _open(data, enough, white, chest_only=chest_only)
    image, shrink, start = opened.image, opened.shrink, opened.start
    low, high = image.getextrema()
    if low == high:
        cause = " in the window of its header" if opened.windowed else ""
        raise InputError(f"{_name(source)} has no contrast: all pixels are equal{cause}")
    how = {"windowed": opened.windowed, "measured": opened.measured}
    if size is None:
        pixels = np.array(image)
        return Prepared(pixels, light_notes(pixels, **how))
    where = placement(*opened.size, size, fit)
    further = enough(*opened.size) // shrink
    if further > 1:
        image, shrink, start = image.reduce(further), shrink * further, start / further
    left, top, right, bottom = (side / shrink + start for side in where.box)
    part = np.asarray(
        image.resize(where.inner, Image.Resampling.BICUBIC, (left, top, right, bottom))
    )
    square = np.zeros((size, size), np.uint8)
    x, y = where.offset
    square[y : y + where.inner[1], x : x + where.inner[0]] = part
    return Prepared(square, light_notes(part, **how))


@dataclass(frozen=True)
class _Opened:
    """A gray upright image at 1/`shrink` of its size (rounded up).

    The corner of the full image is `start` pixels inside.
    """

    image: Image.Image
    shrink: int
    start: float
    size: tuple[int, int]  # width, height of the full image
    windowed: bool = False  # gray by a window or VOI LUT of the header
    measured: bool = False  # gray by the range of the image


def _open(
    data: bytes,
    enough: Callable[[int, int], int],
    white: int | None,
    *,
    chest_only: bool = False,
) -> _Opened:
    if _is_dicom(data):
        from roentgen.imaging.dicom.frame import read_frame

        frame = read_frame(data, enough, chest_only=chest_only)
        return _Opened(
            *(frame.image, frame.shrink, frame.start, frame.size),
            windowed=frame.windowed,
            measured=not frame.windowed,
        )
    deep = deep_jpeg_to_gray(data, white)
    if deep is not None:
        return _Opened(deep, 1, 0, deep.size, measured=white is None)
    with Image.open(io.BytesIO(data), formats=_FORMATS) as opened:
        if getattr(opened, "is_animated", False) and opened.format != "MPO":
            raise InputError("has several frames: a radiograph has one")
        size, shrink = opened.size, 1
        if opened.format == "JPEG":
            check_complete(data, size[0] * size[1])
            if opened.mode in ("L", "RGB"):
                if opened.getexif().get(ExifTags.Base.Orientation, 1) == 1:
                    least = enough(*size)
                    shrink = max(step for step in (1, 2, 4, 8) if step <= least)
                # The decoder's own gray is the luminance that convert("L") would compute.
                opened.draft("L", (size[0] // shrink, size[1] // shrink))
        measured = white is None and is_deep(opened, data)
        image = to_gray(opened, data, white)
        image.getexif()[ExifTags.Base.Orientation] = opened.getexif().get(
            ExifTags.Base.Orientation, 1
        )
    ImageOps.exif_transpose(image, in_place=True)
    return _Opened(image, shrink, 0, size if shrink > 1 else image.size, measured=measured)


def _is_dicom(data: bytes) -> bool:
    """DICOM by its mark, or by its first element where the preamble is missing."""
    return data[128:132] == b"DICM" or data[:2] in _BARE_DICOM


def _read(source: Path | bytes) -> bytes:
    if isinstance(source, bytes):
        data = source
    else:
        try:
            data = read_bounded(source, LARGEST_FILE)
        except OSError as error:
            if error.errno == errno.EFBIG:
                raise InputError(
                    f"{_name(source)} is larger than {LARGEST_FILE >> 20} MiB: no radiograph is"
                ) from None
            raise InputError(f"cannot read image {_name(source)}: {error.strerror}") from None
    if not data:
        raise InputError(f"{_name(source)} is empty (0 bytes)")
    return data


def _name(source: Path | bytes) -> str:
    return source.name if isinstance(source, Path) else "the image"


@contextmanager
def _named_errors(source: Path | bytes) -> Iterator[None]:
    """Any error of a decoder becomes one line that names the file."""
    name = _name(source)
    try:
        with warnings.catch_warnings():
            # Pillow warns of damaged metadata, which does not concern the pixels. Of 89 to 179
            # megapixels it also only warns, but no radiograph is that large.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except InputError as error:
        raise type(error)(f"{name}: {error}") from None
    except Exception as error:  # decoders of untrusted bytes raise almost anything
        reason = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, UnidentifiedImageError):
            reason = "not an image of a known format"
        raise InputError(f"{name} cannot be decoded: {reason}") from None


def decode(image: bytes) -> np.ndarray:
    """The pixels of an encoded gray image: uint8 [height, width]."""
    return np.array(open_gray(image))


def encode_png(image: np.ndarray, text: Mapping[str, str] | None = None) -> bytes:
    """uint8 [height, width] as a gray PNG, with `text` in its text chunks.

    A color picture, [height, width, 3], becomes an RGB one.
    """
    if image.ndim != 3:
        _check_gray(image)
    file = io.BytesIO()
    # Radiographs are noise to zlib: runs alone compress as well as all matches, four times faster.
    chunks = PngInfo()
    for key, value in (text or {}).items():
        chunks.add_itxt(key, value)
    Image.fromarray(image).save(file, format="PNG", compress_type=zlib.Z_RLE, pnginfo=chunks)
    return file.getvalue()


def encode_jpeg(image: np.ndarray, quality: int, comment: str = "") -> bytes:
    """uint8 [height, width] as a gray JPEG, with `comment` (UTF-8)."""
    _check_gray(image)
    file = io.BytesIO()
    options = {"comment": comment.encode()} if comment else {}
    Image.fromarray(image).save(file, format="JPEG", quality=quality, **options)
    return file.getvalue()


def _check_gray(image: np.ndarray) -> None:
    if image.dtype != np.uint8 or image.ndim != 2:
        raise ValueError(f"expected uint8 [height, width], got {image.dtype} {image.shape}")


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
