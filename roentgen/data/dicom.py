"""DICOM files: header texts, and the one gray frame of a radiograph, upright.

Left stays left. An image is turned or mirrored only where Patient Orientation says which way its
rows and columns run: then a frontal film is brought to rows towards the patient's left and columns
towards the feet, a lateral one is only ever rotated, feet down. An orientation that is absent,
odd or not of a projection radiograph (CR, DX, RG) leaves the pixels as they are stored.
"""

import io
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image
from pydicom import uid
from pydicom.datadict import tag_for_keyword
from pydicom.encaps import generate_frames
from pydicom.pixels.utils import pixel_array

from roentgen.data.codestream import Codestream, parse_codestream
from roentgen.data.dicom_levels import to_gray
from roentgen.errors import InputError

MAX_PIXELS = 89_478_485  # Pillow's own limit for other images
_MAX_INFLATED = 1 << 30  # bytes
_MAX_TEXT = 120  # characters of a library's message

# Which plug-in decodes what; Pillow, for the others, can decode at a reduced size.
_PLUGINS = {
    uid.JPEGExtended12Bit: "pylibjpeg",
    uid.JPEGLossless: "pylibjpeg",
    uid.JPEGLosslessSV1: "pylibjpeg",
    uid.JPEGLSLossless: "pyjpegls",
    uid.JPEGLSNearLossless: "pyjpegls",
    uid.RLELossless: "pylibjpeg",
}
_PILLOW = (uid.JPEGBaseline8Bit, uid.JPEG2000, uid.JPEG2000Lossless)

_PROJECTIONS = ("CR", "DX", "RG")
_T = Image.Transpose
_TURNS = {  # (rows run towards, columns run towards): what brings the film upright
    ("R", "F"): _T.FLIP_LEFT_RIGHT,
    ("L", "H"): _T.FLIP_TOP_BOTTOM,
    ("R", "H"): _T.ROTATE_180,
    ("F", "L"): _T.TRANSPOSE,
    ("H", "R"): _T.TRANSVERSE,
    ("F", "R"): _T.ROTATE_270,
    ("H", "L"): _T.ROTATE_90,
    ("A", "H"): _T.ROTATE_180,
    ("P", "H"): _T.ROTATE_180,
    ("F", "A"): _T.ROTATE_270,
    ("F", "P"): _T.ROTATE_270,
    ("H", "A"): _T.ROTATE_90,
    ("H", "P"): _T.ROTATE_90,
}
_SIDEWAYS = (_T.TRANSPOSE, _T.TRANSVERSE, _T.ROTATE_90, _T.ROTATE_270)


@dataclass(frozen=True)
class Frame:
    """A gray frame, mode "L" and upright, decoded at 1/`shrink` of its size (rounded up)."""

    image: Image.Image
    shrink: int
    size: tuple[int, int]  # width, height of the whole


def read_header(path: Path, keywords: Sequence[str]) -> dict[str, str]:
    r"""Elements as texts, "" where absent or empty; several values are joined by "\\".

    Of a sequence of codes it is the first item's Code Meaning. Raises InputError naming the file
    when it is missing or no DICOM.
    """
    for keyword in keywords:
        if tag_for_keyword(keyword) is None:
            raise ValueError(f"{keyword!r} is no DICOM keyword")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path!s}: {error.strerror}") from None
    with _told(path.name):
        dataset = _parse(data, header_only=True)
        return {keyword: _text(dataset, keyword) for keyword in keywords}


def read_size(data: bytes) -> tuple[int, int]:
    """Width and height upright, from the header. Raises InputError."""
    with _told(None):
        dataset = _parse(data, header_only=True)
        return _upright_size(dataset, _turn(dataset))


def read_frame(data: bytes, enough: Callable[[int, int], int]) -> Frame:
    """The frame, decoded at a reduced size where the syntax can.

    `enough` says by how much an upright width and height may be divided at the most.

    Raises InputError without naming the file: no pixels, colour, several frames, enormous,
    damaged, or a header that contradicts the pixels.
    """
    with _told(None):
        dataset = _parse(data, header_only=False)
        _check(dataset)
        turn = _turn(dataset)
        # A turned edge would not fall on whole pixels, and padding must not blend with tissue.
        whole = turn is not None or dataset.get("PixelPaddingValue") is not None
        size = _upright_size(dataset, turn)
        words, shrink = _decode(dataset, 1 if whole else enough(*size))
        image = Image.fromarray(to_gray(words, dataset))
        if turn is not None:
            image = image.transpose(turn)
        return Frame(image, shrink, size)


@contextmanager
def _told(name: str | None) -> Iterator[None]:
    """Whatever the libraries raise on damaged files becomes one line."""
    before = f"{name}: " if name else ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd values that we do not use
            yield
    except InputError as error:
        raise InputError(f"{before}{error}") from None
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # almost anything; the RLE decoder's panic is no Exception
        reason = " ".join(str(error).split())[:_MAX_TEXT] or type(error).__name__
        raise InputError(f"{before}cannot be decoded as DICOM: {reason}") from None


def _parse(data: bytes, *, header_only: bool) -> pydicom.Dataset:
    if uid.DeflatedExplicitVRLittleEndian.encode() in data[:4096]:
        _check_inflated(data)
    dataset = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=header_only, force=True)
    if not len(dataset):
        raise InputError("holds no readable DICOM element")
    return dataset


def _check_inflated(data: bytes) -> None:
    """Refuse a deflated file that would fill the memory."""
    (length,) = struct.unpack_from("<I", data, 140)
    inflate, rest, total = zlib.decompressobj(-zlib.MAX_WBITS), data[144 + length :], 0
    while rest and not inflate.eof:
        total += len(inflate.decompress(rest, 1 << 22))
        rest = inflate.unconsumed_tail
        if total > _MAX_INFLATED:
            raise InputError(f"inflates to more than {_MAX_INFLATED >> 20} MiB")


def _check(dataset: pydicom.Dataset) -> None:
    """Refuse what is no radiograph before any pixel is decoded."""
    if "PixelData" not in dataset:
        raise InputError("is DICOM without pixels (no Pixel Data)")
    if "TransferSyntaxUID" not in dataset.file_meta:
        raise InputError("names no transfer syntax (0002,0010): its pixels cannot be read")
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames != 1:
        raise InputError(f"has {frames} frames: a radiograph has one")
    kind = dataset.get("PhotometricInterpretation")
    if kind not in ("MONOCHROME1", "MONOCHROME2") or dataset.get("SamplesPerPixel", 1) != 1:
        raise InputError(f"has pixels of kind {kind}: expected MONOCHROME1 or MONOCHROME2")
    allocated, stored = dataset.get("BitsAllocated"), dataset.get("BitsStored")
    high = dataset.get("HighBit")
    if allocated not in (8, 16) or not isinstance(stored, int) or not 2 <= stored <= allocated:
        raise InputError(f"has {stored} of {allocated} bits a pixel: expected up to 8 or 16")
    if high is not None and not stored - 1 <= high < allocated:
        raise InputError(f"has the high bit {high} for {stored} of {allocated} bits")
    width, height = _size(dataset)
    if width * height > MAX_PIXELS:
        raise InputError(f"has {width}x{height} pixels: more than {MAX_PIXELS} are refused")


def _size(dataset: pydicom.Dataset) -> tuple[int, int]:
    width, height = dataset.get("Columns"), dataset.get("Rows")
    if not isinstance(width, int) or not isinstance(height, int) or not width or not height:
        raise InputError(f"is DICOM without pixels ({height} rows, {width} columns)")
    return width, height


def _upright_size(dataset: pydicom.Dataset, turn: Image.Transpose | None) -> tuple[int, int]:
    width, height = _size(dataset)
    return (height, width) if turn in _SIDEWAYS else (width, height)


def _turn(dataset: pydicom.Dataset) -> Image.Transpose | None:
    """What brings the image upright; each direction counts by its main letter ("LF" is L)."""
    directions = dataset.get("PatientOrientation")
    if dataset.get("Modality") not in _PROJECTIONS or isinstance(directions, str | None):
        return None
    letters = tuple(str(direction)[:1].upper() for direction in directions)
    return _TURNS.get(letters) if len(letters) == 2 else None


def _decode(dataset: pydicom.Dataset, enough: int) -> tuple[np.ndarray, int]:
    """The stored words, uint8 or uint16 [H, W], and by how much they were reduced."""
    width, height = _size(dataset)
    syntax = dataset.file_meta.TransferSyntaxUID
    kind = np.uint8 if dataset.BitsAllocated == 8 else np.uint16
    if not syntax.is_compressed and syntax.is_little_endian:
        need = width * height * (dataset.BitsAllocated // 8)
        if len(dataset.PixelData) < need:
            raise InputError(
                f"has {len(dataset.PixelData)} bytes of pixels, {width}x{height} need {need}: "
                "the file is cut off"
            )
        words = np.frombuffer(dataset.PixelData, np.dtype(kind).newbyteorder("<"), width * height)
        return words.reshape(height, width), 1
    if syntax.is_encapsulated and syntax != uid.RLELossless:
        frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
        stream = parse_codestream(frame)
        if (stream.width, stream.height, stream.components) != (width, height, 1):
            raise InputError(
                f"has {width}x{height} gray pixels by its header, but its compressed pixels are "
                f"{stream.width}x{stream.height} of {stream.components} components"
            )
        if syntax in _PILLOW:
            return _decode_reduced(frame, stream, enough)
    if syntax.is_encapsulated and syntax not in _PLUGINS:
        raise InputError(f"transfer syntax {syntax.name} is not supported")
    pixels = pixel_array(dataset, raw=True, decoding_plugin=_PLUGINS.get(syntax, ""))
    if pixels.shape != (height, width) or pixels.dtype.itemsize != np.dtype(kind).itemsize:
        raise InputError(f"{syntax.name} gave {pixels.dtype} {pixels.shape}")
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False).view(kind), 1


def _decode_reduced(frame: bytes, stream: Codestream, enough: int) -> tuple[np.ndarray, int]:
    """A JPEG or JPEG 2000 frame at the smallest size its coding offers, down to 1/`enough`."""
    shrink = 1
    with Image.open(io.BytesIO(frame), formats=("JPEG", "JPEG2000")) as image:
        wavelet = image.format == "JPEG2000"
        if not wavelet:
            shrink = max(step for step in (1, 2, 4, 8) if step <= enough)
            image.draft("L", (image.width // shrink, image.height // shrink))
        else:
            while shrink * 2 <= enough and _halves(stream, shrink * 2):
                shrink *= 2
            image.reduce = shrink.bit_length() - 1  # type: ignore[assignment,method-assign]
        image.load()
        words = np.asarray(image)
    expected = -(-stream.height // shrink), -(-stream.width // shrink)
    if words.shape != expected:
        raise InputError(f"its compressed pixels gave {words.shape}, expected {expected}")
    if wavelet:
        # Pillow moves JPEG 2000 samples to the top of 8 or 16 bits and signed ones above zero.
        bits = words.dtype.itemsize * 8
        words = words.astype(np.uint16) >> max(bits - stream.precision, 0)
        if stream.signed:
            words = words - np.uint16(1 << (stream.precision - 1))
    return words, shrink


def _halves(stream: Codestream, shrink: int) -> bool:
    """Whether Pillow and the decoder agree on the reduced size, and the levels reach so far."""
    if shrink.bit_length() - 1 > stream.levels - 1:
        return False
    sides = stream.width, stream.height
    return all((side + shrink // 2) // shrink == -(-side // shrink) for side in sides)


def _text(dataset: pydicom.Dataset, keyword: str) -> str:
    value = dataset.get(keyword)
    if isinstance(value, pydicom.Sequence):
        return str(value[0].get("CodeMeaning") or "").strip() if len(value) else ""
    if isinstance(value, pydicom.multival.MultiValue):
        return "\\".join(str(part) for part in value)
    return "" if value is None else str(value).strip()
