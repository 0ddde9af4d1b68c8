"""DICOM file: header texts, and the one gray frame of a radiograph, upright.

Laterality is preserved. An image is rotated or mirrored only by its Patient Orientation: a frontal
image is brought to rows towards the patient's left and columns towards the feet, a lateral one is
only rotated, feet down. An orientation that is absent, invalid or not of a projection radiograph
(CR, DX, RG) leaves the pixels as they are stored.
"""

import io
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pydicom
from PIL import Image
from pydicom import uid
from pydicom.datadict import tag_for_keyword
from pydicom.filereader import read_dataset, read_preamble

from roentgen.errors import InputError
from roentgen.imaging.dicom.chest import check_chest
from roentgen.imaging.dicom.decoding import read_words
from roentgen.imaging.dicom.grayscale import has_window, needs_all_pixels, to_gray
from roentgen.untrusted_files import LARGEST_FILE, read_bounded

MAX_PIXELS = 89_478_485  # Pillow's own limit for other images
_MAX_INFLATED = 1 << 28  # bytes: more than the largest image has
_MAX_TEXT = 200  # characters of a message

_PROJECTIONS = ("CR", "DX", "RG")
_T = Image.Transpose
_TURNS = {  # (rows run towards, columns run towards): the transpose that brings the image upright
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
    """A gray frame, mode "L" and upright, decoded at 1/`shrink` of its size (rounded up).

    The corner of the full image is `start` pixels inside.
    """

    image: Image.Image
    shrink: int
    start: float
    size: tuple[int, int]  # width, height of the full image
    windowed: bool  # shown through the window or VOI LUT of the header


def read_header(path: Path, keywords: Sequence[str]) -> dict[str, str]:
    r"""Elements as texts, "" where absent or empty; several values are joined by "\\".

    Of a sequence of codes it is the first item's Code Meaning. Raises InputError naming the file
    when it is missing or no DICOM.
    """
    for keyword in keywords:
        if tag_for_keyword(keyword) is None:
            raise ValueError(f"{keyword!r} is no DICOM keyword")
    try:
        data = read_bounded(path, LARGEST_FILE)
    except OSError as error:
        raise InputError(f"cannot read {path.name}: {error.strerror}") from None
    with _one_line_errors(path.name):
        dataset = _parse(data, header_only=True)
        return {keyword: _text(dataset, keyword) for keyword in keywords}


def read_size(data: bytes) -> tuple[int, int]:
    """Width and height upright, from the header. Raises InputError."""
    with _one_line_errors(None):
        dataset = _parse(data, header_only=True)
        return _upright_size(dataset, _turn(dataset))


def read_frame(
    data: bytes, enough: Callable[[int, int], int], *, chest_only: bool = False
) -> Frame:
    """The frame, decoded at a reduced size where the syntax can.

    `enough` gives the largest divisor of an upright width and height.

    Raises InputError without naming the file: no pixels, color, several frames, enormous,
    damaged, or a header that contradicts the pixels; UnwantedError, with `chest_only`, for another
    modality or body part.
    """
    with _one_line_errors(None):
        dataset = _parse(data, header_only=False)
        if chest_only:
            check_chest(_text(dataset, "Modality"), _text(dataset, "BodyPartExamined"))
        _check(dataset)
        turn = _turn(dataset)
        # The edge of a rotated image would not be at a pixel boundary.
        full = turn is not None or needs_all_pixels(dataset)
        size = _upright_size(dataset, turn)
        words, shrink, start, near = read_words(dataset, 1 if full else enough(*size))
        image = Image.fromarray(to_gray(words, dataset, near))
        if turn is not None:
            image = image.transpose(turn)
        return Frame(image, shrink, start, size, has_window(dataset))


@contextmanager
def _one_line_errors(name: str | None) -> Iterator[None]:
    """Any error of the libraries becomes one line."""
    before = f"{name}: " if name else ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd values that we do not use
            yield
    except InputError as error:
        raise type(error)(f"{before}{_one_line(error)}") from None
    except Exception as error:  # almost anything
        raise InputError(f"{before}cannot be decoded as DICOM: {_one_line(error)}") from None


def _one_line(error: Exception) -> str:
    """The text of an error, cut: a damaged header puts values of any size into it."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}..."


def _parse(data: bytes, *, header_only: bool) -> pydicom.Dataset:
    if data[128:132] != b"DICM" and data[:2] not in (b"\x02\0", b"\x08\0"):
        raise InputError("is no DICOM")
    _check_inflated(data)
    dataset = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=header_only, force=True)
    if not len(dataset):  # pydicom gives up on compressed pixels without an end
        if not header_only and len(_parse(data, header_only=True)):
            raise InputError("ends within its pixels: the file is cut off")
        raise InputError("holds no readable DICOM element")
    return dataset


def _check_inflated(data: bytes) -> None:
    """Refuse a deflated file that would fill the memory; pydicom inflates it at once."""
    file = io.BytesIO(data)
    read_preamble(file, force=True)
    meta = read_dataset(file, False, True, stop_when=lambda tag, vr, length: tag.group != 2)
    if meta.get("TransferSyntaxUID") != uid.DeflatedExplicitVRLittleEndian:
        return
    inflate, rest, total = zlib.decompressobj(-zlib.MAX_WBITS), file.read(), 0
    while rest and not inflate.eof:
        total += len(inflate.decompress(rest, 1 << 22))
        rest = inflate.unconsumed_tail
        if total > _MAX_INFLATED:
            raise InputError(f"inflates to more than {_MAX_INFLATED >> 20} MiB")


def _check(dataset: pydicom.Dataset) -> None:
    """Refuse an image that is no radiograph, before any pixel is decoded."""
    if "PixelData" not in dataset:
        raise InputError("is DICOM without pixels (no Pixel Data)")
    if "TransferSyntaxUID" not in dataset.file_meta:
        _guess_syntax(dataset)
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


def _guess_syntax(dataset: pydicom.Dataset) -> None:
    """Name the transfer syntax of a file that names none, by its first elements.

    Raises InputError unless the pixels have the length of uncompressed ones.
    """
    width, height = _size(dataset)
    length = width * height * int(dataset.get("BitsAllocated") or 0) // 8
    implicit, little_endian = dataset.original_encoding
    if not little_endian or len(dataset.PixelData) != length + length % 2:
        raise InputError("names no transfer syntax (0002,0010): its pixels cannot be read")
    syntax = uid.ImplicitVRLittleEndian if implicit else uid.ExplicitVRLittleEndian
    dataset.file_meta.TransferSyntaxUID = syntax


def _size(dataset: pydicom.Dataset) -> tuple[int, int]:
    width, height = dataset.get("Columns"), dataset.get("Rows")
    if not isinstance(width, int) or not isinstance(height, int) or not width or not height:
        raise InputError(f"is DICOM without pixels ({height} rows, {width} columns)")
    return width, height


def _upright_size(dataset: pydicom.Dataset, turn: Image.Transpose | None) -> tuple[int, int]:
    width, height = _size(dataset)
    return (height, width) if turn in _SIDEWAYS else (width, height)


def _turn(dataset: pydicom.Dataset) -> Image.Transpose | None:
    """The transpose that brings the image upright, by main letters of directions ("LF" is L)."""
    directions = dataset.get("PatientOrientation")
    if dataset.get("Modality") not in _PROJECTIONS or isinstance(directions, str | None):
        return None
    letters = tuple(str(direction)[:1].upper() for direction in directions)
    return _TURNS.get(letters) if len(letters) == 2 else None


def _text(dataset: pydicom.Dataset, keyword: str) -> str:
    value = dataset.get(keyword)
    if isinstance(value, pydicom.Sequence):
        return str(value[0].get("CodeMeaning") or "").strip() if len(value) else ""
    if isinstance(value, pydicom.multival.MultiValue):
        return "\\".join(str(part) for part in value)
    return "" if value is None else str(value).strip()
