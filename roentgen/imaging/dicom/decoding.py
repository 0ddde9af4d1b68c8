"""Decoder of the stored words of a DICOM image, chosen by its transfer syntax.

Uncompressed words are read directly. JPEG and JPEG 2000 are decoded by Pillow, which can do it
at a reduced size; lossless and 12-bit JPEG, JPEG-LS and RLE by imagecodecs; the others by
pydicom with the plug-ins it finds. A frame's own header is compared with the DICOM header first.
"""

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import pydicom
from PIL import Image
from pydicom import uid
from pydicom.encaps import generate_frames
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import pixel_array

from roentgen.errors import InputError
from roentgen.imaging.dicom.jpeg_codestream import Codestream, check_complete, parse_codestream

_PILLOW = (uid.JPEGBaseline8Bit, uid.JPEG2000, uid.JPEG2000Lossless)
_JPEG = (uid.JPEGExtended12Bit, uid.JPEGLossless, uid.JPEGLosslessSV1)
_JPEG_LS = (uid.JPEGLSLossless, uid.JPEGLSNearLossless)
# At the end of a cut stream CharLS reads on for seconds; a marker stops it at once.
_END = b"\xff\xd9"


class Words(NamedTuple):
    """Stored words, uint8 or uint16 [H, W], at 1/`shrink` of their size.

    The corner of the full image is `start` of their pixels inside, and its other end within them.
    """

    words: np.ndarray
    shrink: int = 1
    start: float = 0
    near: int = 0  # a near-lossless coder changed them by up to this


def read_words(dataset: pydicom.Dataset, enough: int) -> Words:
    """The stored words, at no less than 1/`enough` of their size.

    Raises InputError if the pixels contradict the header or no decoder is installed; a decoder may
    raise anything on damaged bytes.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_compressed and syntax.is_little_endian:
        return Words(_uncompressed(dataset))
    ours = syntax in (*_PILLOW, *_JPEG, *_JPEG_LS, uid.RLELossless)
    if not ours:
        _check_plugin(syntax)
    if not syntax.is_compressed:
        return Words(_decode_by_plugin(dataset, syntax))
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1), b"")
    if syntax == uid.RLELossless:
        return Words(_decode_rle(frame, dataset))
    stream = parse_codestream(frame)
    _check_stream(stream, dataset)
    if syntax in _JPEG or syntax == uid.JPEGBaseline8Bit:
        check_complete(frame, stream.width * stream.height)
    if syntax in _PILLOW or (syntax == uid.JPEGExtended12Bit and stream.precision == 8):
        return _decode_reduced(frame, stream, enough if _is_plain(stream, dataset) else 1)
    if ours:
        return Words(_decode_jpeg(frame, syntax), near=stream.near)
    return Words(_decode_by_plugin(dataset, syntax))


def _is_plain(stream: Codestream, dataset: pydicom.Dataset) -> bool:
    """Whether the samples are the stored values, so that averages of them are averages of values.

    Not where they hold overlay bits too, or signed values as unsigned samples.
    """
    stored = int(dataset.BitsStored)
    return stream.precision == stored == int(
        dataset.get("HighBit") or stored - 1
    ) + 1 and stream.signed == (dataset.get("PixelRepresentation") == 1)


def _check_stream(stream: Codestream, dataset: pydicom.Dataset) -> None:
    """Refuse a frame that contradicts the DICOM header."""
    width, height = dataset.Columns, dataset.Rows
    if (stream.width, stream.height, stream.components) != (width, height, 1):
        raise InputError(
            f"has {width}x{height} gray pixels by its header, but its compressed pixels are "
            f"{stream.width}x{stream.height} of {stream.components} components"
        )
    if stream.precision > dataset.BitsAllocated:
        raise InputError(
            f"has {dataset.BitsAllocated} bits a pixel by its header, but its compressed pixels "
            f"have {stream.precision}"
        )


def _uncompressed(dataset: pydicom.Dataset) -> np.ndarray:
    width, height, allocated = dataset.Columns, dataset.Rows, dataset.BitsAllocated
    need = width * height * allocated // 8
    if len(dataset.PixelData) < need:
        raise InputError(
            f"has {len(dataset.PixelData)} bytes of pixels, {width}x{height} need {need}: "
            "the file is cut off"
        )
    words = np.frombuffer(dataset.PixelData, f"<u{allocated // 8}", width * height)
    return words.reshape(height, width)


def _decode_jpeg(frame: bytes, syntax: uid.UID) -> np.ndarray:
    with _named_decoder(syntax):
        from imagecodecs import jpeg8_decode, jpegls_decode
    return jpegls_decode(frame + _END) if syntax in _JPEG_LS else jpeg8_decode(frame)


def _decode_rle(frame: bytes, dataset: pydicom.Dataset) -> np.ndarray:
    """PS3.5 annex G: a segment for each byte of the words, the highest one first.

    Not by imagecodecs' dicomrle_decode nor by pylibjpeg: damaged segments crash the one and make
    the other panic.
    """
    with _named_decoder(uid.RLELossless):
        from imagecodecs import packbits_decode
    size, count = dataset.Rows * dataset.Columns, dataset.BitsAllocated // 8
    segments, *starts = struct.unpack_from("<16I", frame)
    if segments != count:
        raise InputError(f"has {segments} RLE segments for words of {count} bytes")
    words = np.empty((size, count), np.uint8)
    for place in range(count):
        end = starts[place + 1] if place + 1 < count else len(frame)
        content = packbits_decode(frame[starts[place] : end])
        if len(content) < size:
            raise InputError(f"has {len(content)} of {size} pixels: the file is cut off")
        words[:, count - 1 - place] = np.frombuffer(content, np.uint8, size)
    return words.view(f"<u{count}").reshape(dataset.Rows, dataset.Columns)


@contextmanager
def _named_decoder(syntax: uid.UID) -> Iterator[None]:
    """A missing decoder becomes one line that names it."""
    try:
        yield
    except ImportError:
        raise InputError(
            f"its pixels are {syntax.name}: install imagecodecs to read them"
        ) from None


def _check_plugin(syntax: uid.UID) -> None:
    """Refuse a syntax that pydicom and its installed plug-ins cannot decode."""
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise InputError(f"its pixels are {syntax.name}, which pydicom cannot decode") from None
    if not decoder.is_available:
        missing = " or ".join(decoder.missing_dependencies)
        raise InputError(f"its pixels are {syntax.name}: to read them install one of {missing}")


def _decode_by_plugin(dataset: pydicom.Dataset, syntax: uid.UID) -> np.ndarray:
    try:
        pixels = pixel_array(dataset, raw=True)
    except RuntimeError as error:  # a line for each plug-in
        reason = str(error).splitlines()[-1].strip()
        raise InputError(f"its {syntax.name} pixels cannot be decoded: {reason}") from None
    kind = f"u{dataset.BitsAllocated // 8}"
    if pixels.shape != (dataset.Rows, dataset.Columns) or pixels.dtype.itemsize != int(kind[1]):
        raise InputError(f"{syntax.name} gave {pixels.dtype} {pixels.shape}")
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False).view(kind)


def _decode_reduced(frame: bytes, stream: Codestream, enough: int) -> Words:
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
    if not wavelet:
        return Words(words, shrink)
    # Pillow moves JPEG 2000 samples to the top of 8 or 16 bits and signed ones above zero.
    bits = words.dtype.itemsize * 8
    words = words.astype(np.uint16) >> max(bits - stream.precision, 0)
    if stream.signed:
        words = words - np.uint16(1 << (stream.precision - 1))
    if shrink == 1:
        return Words(words)
    # Wavelets keep each `shrink`th pixel, filtered; other reductions have the mean of several.
    return Words(np.pad(words, ((0, 1), (0, 1)), "edge"), shrink, 0.5 - 0.5 / shrink)


def _halves(stream: Codestream, shrink: int) -> bool:
    """Whether Pillow and the decoder agree on the reduced size, and the levels reach so far."""
    if shrink.bit_length() - 1 > stream.levels - 1:
        return False
    sides = stream.width, stream.height
    return all((side + shrink // 2) // shrink == -(-side // shrink) for side in sides)
