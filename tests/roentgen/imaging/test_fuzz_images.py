"""Damaged image files: read or refused with one line, and never anything else."""

import io
import struct
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pytest
from PIL import Image
from pydicom import uid

from roentgen.errors import InputError
from roentgen.imaging.images import image_size, prepare_image

Mutants = Callable[..., Iterator[bytes]]
MakeDicom = Callable[..., bytes]
LosslessJpeg = Callable[[np.ndarray, int], bytes]
SECONDS = 3  # of the processor, for a file of a few kB
every_count = pytest.mark.parametrize("count", [45, pytest.param(2000, marks=pytest.mark.slow)])


def film(kind: type = np.uint8) -> np.ndarray:
    y, x = np.mgrid[:56, :48]
    shares = (np.sin(x / 9) + np.cos(y / 7) + 2) / 4
    noise = np.random.default_rng(0).normal(0, 0.02, x.shape)
    top = 255 if kind is np.uint8 else 4095
    levels: np.ndarray = ((shares + noise) * top).clip(0, top).astype(kind)
    return levels


def encoded(pixels: np.ndarray, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format=kind, **options)
    return file.getvalue()


def outcomes(files: Iterable[bytes]) -> Counter[str]:
    """How many were read and refused."""
    counted: Counter[str] = Counter()
    for data in files:
        started = time.process_time()
        try:
            image_size(data)
            assert prepare_image(data, 16, "pad").shape == (16, 16)
            counted["read"] += 1
        except InputError as error:
            told = str(error)
            counted["refused"] += 1
            if "\n" in told or len(told) >= 400:
                pytest.fail(f"not one clear line: {told!r}")
        assert time.process_time() - started < SECONDS
    print(dict(counted))
    return counted


def with_right_sums(png: bytes, mutants: Mutants, count: int) -> Iterator[bytes]:
    """A PNG whose chunks, compressed pixels or pixels are damaged, with lengths and CRCs mended.

    Else the checksums would refuse each, and the decoder behind them would see none.
    """
    chunks, at = [], 8
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        chunks.append((png[at + 4 : at + 8], png[at + 8 : at + 8 + length]))
        at += 12 + length
    places = [place for place, (name, data) in enumerate(chunks) if data]
    for number, place in enumerate(places * (count // len(places))):
        name, data = chunks[place]
        inside = name == b"IDAT" and number // len(places) % 2 == 0
        (data,) = mutants(zlib.decompress(data) if inside else data, 1, seed=number)
        data = zlib.compress(data) if inside else data
        mended = [*chunks[:place], (name, data), *chunks[place + 1 :]]
        yield png[:8] + b"".join(
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
            for name, data in mended
        )


@every_count
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_png(mutants: Mutants, kind: type, count: int) -> None:
    png = encoded(film(kind), "PNG")
    assert outcomes(mutants(png, count))["refused"]
    mended = outcomes(with_right_sums(png, mutants, 2 * count))
    assert mended["read"]
    assert mended["refused"]


@pytest.mark.parametrize("count", [45, pytest.param(5000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg(mutants: Mutants, count: int, *, progressive: bool) -> None:
    jpeg = encoded(film(), "JPEG", quality=90, progressive=progressive, comment=b"noise")
    found = outcomes(mutants(jpeg, count))
    assert found["read"]
    assert found["refused"]


@every_count
@pytest.mark.parametrize("kind", ["TIFF", "JPEG2000", "GIF", "WEBP", "BMP"])
def test_other_formats(mutants: Mutants, kind: str, count: int) -> None:
    found = outcomes(mutants(encoded(film(), kind), count // 2))
    assert found["refused"]


@every_count
@pytest.mark.parametrize(
    "syntax",
    [
        *(uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian, uid.RLELossless),
        *(uid.DeflatedExplicitVRLittleEndian, uid.JPEGBaseline8Bit, uid.JPEGLossless),
        *(uid.JPEGLSLossless, uid.JPEG2000Lossless),
    ],
    ids=lambda syntax: syntax.keyword,
)
def test_dicom(
    make_dicom: MakeDicom,
    lossless_jpeg: LosslessJpeg,
    mutants: Mutants,
    syntax: uid.UID,
    count: int,
) -> None:
    pixels = film(np.uint8 if syntax == uid.JPEGBaseline8Bit else np.uint16)
    frame = {
        uid.JPEGBaseline8Bit: lambda: encoded(pixels, "JPEG"),
        uid.JPEGLossless: lambda: lossless_jpeg(pixels, 12),
    }.get(syntax)
    data = make_dicom(
        pixels,
        syntax=syntax,
        stored=12 if pixels.itemsize == 2 else 8,
        frame=frame() if frame else None,
        PatientOrientation=["F", "R"],
        WindowCenter=2000,
        WindowWidth=4000,
        PixelPaddingValue=0,
    )
    found = outcomes(mutants(data, count))
    assert found["read"]
    assert found["refused"]


@every_count
def test_dicom_frames_in_whole_files(
    make_dicom: MakeDicom, lossless_jpeg: LosslessJpeg, mutants: Mutants, count: int
) -> None:
    # The header is right: all damage reaches the decoders.
    pixels = film(np.uint16)
    for syntax, first in (
        (uid.JPEGLossless, lossless_jpeg(pixels, 12)),
        (uid.JPEGLSLossless, frame_of(make_dicom(pixels, syntax=uid.JPEGLSLossless))),
        (uid.JPEG2000Lossless, frame_of(make_dicom(pixels, syntax=uid.JPEG2000Lossless))),
        (uid.RLELossless, frame_of(make_dicom(pixels, syntax=uid.RLELossless))),
    ):
        frames = (frame for frame in mutants(first, count) if len(frame) > 2)
        found = outcomes(make_dicom(pixels, syntax=syntax, frame=frame) for frame in frames)
        assert found["refused"], syntax.name


def frame_of(data: bytes) -> bytes:
    """The compressed frame of a DICOM file."""
    import pydicom

    pixels = pydicom.dcmread(io.BytesIO(data)).PixelData
    return next(pydicom.encaps.generate_frames(pixels, number_of_frames=1))


@every_count
def test_dicom_headers_at_odds(make_dicom: MakeDicom, count: int) -> None:
    # Well-formed values that make no sense together.
    random = np.random.default_rng(0)
    numbers = [0, 1, 2, 7, 8, 12, 15, 16, 31, 32, 48, 56, 255, 4096, 65535]
    keywords = (
        *("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
        *("SamplesPerPixel", "NumberOfFrames", "PlanarConfiguration"),
    )
    words: dict[str, list[object]] = {
        "WindowCenter": ["", "0", "nan", "1e308", "-5", ["1", "2"]],
        "WindowWidth": ["", "0", "-1", "1e-300", "inf", ["", "3"]],
        "RescaleSlope": ["", "0", "1e300", "-1", "nan"],
        "RescaleIntercept": ["", "0", "-1e300", "1024"],
        "PhotometricInterpretation": ["", "MONOCHROME1", "MONOCHROME2", "RGB", "YBR_ICT"],
        "PatientOrientation": ["", "L", ["L", "F"], ["F", "F"], ["\u00e4", ""], ["R"] * 9],
        "VOILUTFunction": ["", "SIGMOID", "LINEAR_EXACT", "linear"],
        "PixelPaddingValue": [("US", 0), ("US", 65535), ("SS", -2000)],
        "PixelPaddingRangeLimit": [("US", 9), ("SS", -1), ("US", 65535)],
    }
    files = []
    for _ in range(2 * count):
        elements: dict[str, object] = {
            str(key): int(random.choice(numbers))
            for key in random.choice(keywords, random.integers(0, 2), replace=False)
        }
        for key in random.choice(list(words), random.integers(1, 4), replace=False):
            elements[key] = words[key][random.integers(len(words[key]))]
        syntax = (uid.ExplicitVRLittleEndian, uid.RLELossless)[random.integers(2)]
        files.append(make_dicom(film(np.uint16), syntax=syntax, stored=12, **elements))
    found = outcomes(files)
    assert found["read"]
    assert found["refused"]
