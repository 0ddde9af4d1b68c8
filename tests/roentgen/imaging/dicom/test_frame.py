"""DICOM films: transfer syntaxes, orientation, headers, and what is refused."""

import csv
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import Dataset, uid
from pydicom.filebase import DicomIO
from pydicom.pixels.decoders.base import get_decoder

from roentgen.errors import InputError
from roentgen.imaging.dicom.decoding import read_words
from roentgen.imaging.dicom.frame import read_header
from roentgen.imaging.images import image_size, prepare_image

MakeDicom = Callable[..., bytes]
LosslessJpeg = Callable[[np.ndarray, int], bytes]
SHARED = Path(__file__).parents[4] / "../shared/cxr/dicom"
DEEP_JPEG = ("syntax/JPEG-lossy.dcm", "syntax/RG3_extremity_JPLY.dcm")  # pydicom cannot read these


def film(bits: int, *, signed: bool = False, height: int = 48, width: int = 40) -> np.ndarray:
    """Smooth tissue and noise over all of so many bits."""
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(0).normal(0, 0.02, x.shape)
    shares = (np.sin(x / 9) + np.cos(y / 7) + 2) / 4 + noise
    shares = (shares - shares.min()) / (shares.max() - shares.min())
    levels = np.rint(shares * (2**bits - 1)) - signed * 2 ** (bits - 1)
    words: np.ndarray = levels.astype(("i" if signed else "u") + str(1 if bits == 8 else 2))
    return words


def gray(pixels: np.ndarray) -> np.ndarray:
    """What film() looks like without a window: from the 0.1th to the 99.9th percentile."""
    ordered, tail = np.sort(pixels, axis=None).astype(float), pixels.size // 1000
    low, high = ordered[tail], ordered[-1 - tail]
    levels: np.ndarray = np.rint(((pixels.astype(float) - low) / (high - low)).clip(0, 1) * 255)
    return levels


def as_little_endian(file: io.BytesIO, *, implicit: bool) -> DicomIO:
    writer = DicomIO(file)
    writer.is_little_endian, writer.is_implicit_VR = True, implicit
    return writer


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format=kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    "syntax",
    [
        *(uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian),
        *(uid.DeflatedExplicitVRLittleEndian, uid.RLELossless, uid.JPEGLossless),
        *(uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEG2000Lossless),
    ],
    ids=lambda syntax: syntax.keyword,
)
@pytest.mark.parametrize(("bits", "signed"), [(8, False), (10, False), (12, True), (16, False)])
def test_lossless_syntaxes_keep_every_pixel(
    make_dicom: MakeDicom, lossless_jpeg: LosslessJpeg, syntax: uid.UID, bits: int, *, signed: bool
) -> None:
    pixels = film(bits, signed=signed)
    frame = None
    words = pixels.view(f"u{pixels.itemsize}") & (2**bits - 1)
    if syntax == uid.JPEGLossless:
        frame = lossless_jpeg(words, bits)
    elif syntax == uid.JPEGLosslessSV1:
        depth = None if bits == 8 else bits
        encoded = imagecodecs.jpeg8_encode(words, lossless=True, predictor=1, bitspersample=depth)
        frame = bytes(encoded)
    data = make_dicom(pixels, syntax=syntax, stored=bits, frame=frame)
    assert np.array_equal(prepare_image(data, None, "pad"), gray(pixels))
    assert image_size(data) == (40, 48)


def test_lossy_syntaxes_come_as_near_as_they_promise(make_dicom: MakeDicom) -> None:
    pixels = film(8)
    jpeg = encoded(Image.fromarray(pixels), "JPEG", quality=95)
    decoded = np.asarray(Image.open(io.BytesIO(jpeg)))
    for syntax in (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit):
        found = prepare_image(make_dicom(pixels, syntax=syntax, frame=jpeg), None, "pad")
        assert np.array_equal(found, gray(decoded)), syntax.name
    deep = film(12)
    window = {"WindowCenter": 2048, "WindowWidth": 4096}
    expected = np.rint(((deep - 2047.5) / 4095 + 0.5) * 255)
    frames = {
        uid.JPEGExtended12Bit: (imagecodecs.jpeg8_encode(deep, level=98, bitspersample=12), 3),
        uid.JPEGLSNearLossless: (imagecodecs.jpegls_encode(deep, level=16), 1),  # 16 / 4095 * 255
        uid.JPEG2000: (imagecodecs.jpeg2k_encode(deep, level=60, bitspersample=12), 3),
    }
    for syntax, (frame, error) in frames.items():
        data = make_dicom(deep, syntax=syntax, stored=12, frame=bytes(frame), **window)
        found = prepare_image(data, None, "pad")
        assert np.sqrt(((found - expected) ** 2).mean()) <= error, syntax.name


def test_high_throughput_jpeg_2000_comes_through_pydicom_s_plug_in(make_dicom: MakeDicom) -> None:
    pytest.importorskip("openjpeg", reason="pylibjpeg-openjpeg is not installed")
    pixels = film(12)
    frame = bytes(imagecodecs.htj2k_encode(pixels, reversible=True))
    data = make_dicom(pixels, syntax=uid.HTJ2KLossless, stored=12, frame=frame)
    assert np.array_equal(prepare_image(data, None, "pad"), gray(pixels))


@pytest.mark.parametrize("syntax", [uid.JPEGBaseline8Bit, uid.JPEG2000Lossless])
@pytest.mark.parametrize(("height", "width"), [(640, 480), (607, 515)])
def test_a_reduced_decode_shows_the_same(
    make_dicom: MakeDicom, syntax: uid.UID, height: int, width: int
) -> None:
    pixels = film(8, height=height, width=width)
    frame = None
    if syntax == uid.JPEGBaseline8Bit:
        frame = encoded(Image.fromarray(pixels), "JPEG", quality=98)
    window = {"WindowCenter": 128, "WindowWidth": 256}
    data = make_dicom(pixels, syntax=syntax, frame=frame, **window)
    assert read_words(pydicom.dcmread(io.BytesIO(data)), 4)[1] == 4
    # Without a window the extremes decide: those of the whole image, at whatever size.
    for elements in (window, {}):
        data = make_dicom(pixels, syntax=syntax, frame=frame, **elements)
        whole = make_dicom(pixels, **elements)
        for fit in ("pad", "crop"):
            found, expected = (prepare_image(one, 96, fit).astype(float) for one in (data, whole))
            assert ((found - expected) ** 2).mean() < 255**2 / 1e4  # 40 dB


def test_a_reduced_decode_averages_values_only(make_dicom: MakeDicom) -> None:
    window = {"WindowCenter": 2048, "WindowWidth": 4096}
    pixels = film(12, height=640, width=480)
    drawn = np.random.default_rng(0).random(pixels.shape) < 0.01
    overlaid = pixels | np.where(drawn, 0xF000, 0).astype(np.uint16)
    frame = bytes(imagecodecs.jpeg2k_encode(overlaid, reversible=True, level=0))
    expected = prepare_image(make_dicom(pixels, stored=12, **window), 96, "pad").astype(int)
    syntax = uid.JPEG2000Lossless
    data = make_dicom(overlaid, stored=12, syntax=syntax, frame=frame, **window)
    assert abs(prepare_image(data, 96, "pad") - expected).max() <= 1
    # Signed values by the header, unsigned samples in the stream: they wrap at 0.
    signed = (film(12, height=640, width=480, signed=True)).astype(np.int16)
    window["WindowCenter"] = 0
    frame = bytes(
        imagecodecs.jpeg2k_encode(
            (signed & 0xFFF).astype(np.uint16), reversible=True, level=0, bitspersample=12
        )
    )
    expected = prepare_image(make_dicom(signed, stored=12, **window), 96, "pad").astype(int)
    data = make_dicom(signed, stored=12, syntax=syntax, frame=frame, **window)
    assert abs(prepare_image(data, 96, "pad") - expected).max() <= 1
    # The same in JPEG of 8 bits.
    small = film(8, height=640, width=480, signed=True)
    jpeg = encoded(Image.fromarray(small.view(np.uint8)), "JPEG", quality=100)
    window = {"WindowCenter": 0, "WindowWidth": 256}
    whole = np.asarray(Image.open(io.BytesIO(jpeg))).view(np.int8)
    expected = prepare_image(make_dicom(whole, **window), 96, "pad").astype(int)
    data = make_dicom(small, syntax=uid.JPEGBaseline8Bit, frame=jpeg, **window)
    assert abs(prepare_image(data, 96, "pad") - expected).max() <= 1


OPPOSITE = {"L": "R", "R": "L", "H": "F", "F": "H", "A": "P", "P": "A"}


@pytest.mark.parametrize("rows", "LRHFAP")
@pytest.mark.parametrize("columns", "LRHFAP")
def test_films_stand_upright_where_the_header_says_how_they_lie(
    make_dicom: MakeDicom, rows: str, columns: str
) -> None:
    # Turned by quarters until the feet are down; a frontal film with the patient's left on the
    # picture's left is seen from behind and mirrored; a lateral one looks either way.
    stored = film(8)
    data = make_dicom(stored, PatientOrientation=[rows, columns])
    upright, right, bottom = gray(stored), rows, columns
    possible = {rows, OPPOSITE[rows]}.isdisjoint({columns}) and "F" in (
        *(rows, columns, OPPOSITE[rows], OPPOSITE[columns]),
    )
    for _ in range(4):
        if not possible or bottom == "F":
            break
        # By 90 degrees counter-clockwise the right edge goes up and the lower one to the right.
        upright, right, bottom = np.rot90(upright), bottom, OPPOSITE[right]
    if possible and right == "R":
        upright = np.fliplr(upright)
    assert np.array_equal(prepare_image(data, None, "pad"), upright)
    assert image_size(data) == upright.shape[::-1]


def test_the_main_letter_decides_and_doubt_leaves_the_film_alone(make_dicom: MakeDicom) -> None:
    stored = film(8)
    slanted = make_dicom(stored, PatientOrientation=["RF", "FP"])
    assert np.array_equal(prepare_image(slanted, None, "pad"), np.fliplr(gray(stored)))
    for elements in (
        {"PatientOrientation": ["R", "F"], "Modality": "CT"},
        {"PatientOrientation": ["R", "F"], "Modality": None},
        {"PatientOrientation": "R"},
        {"PatientOrientation": ["R", "F", "L"]},
        {"PatientOrientation": ["X", "Y"]},
        {"PatientOrientation": ""},
    ):
        assert np.array_equal(
            prepare_image(make_dicom(stored, **elements), None, "pad"), gray(stored)
        )


def test_a_turned_film_is_turned_before_it_is_made_small(make_dicom: MakeDicom) -> None:
    upright = film(8, height=400, width=300)
    lying = np.rot90(upright)
    frame = encoded(Image.fromarray(lying), "JPEG", quality=98)
    orientation = {"PatientOrientation": ["F", "R"]}  # turned counter-clockwise: feet on the right
    data = make_dicom(lying, syntax=uid.JPEGBaseline8Bit, frame=frame, **orientation)
    found = prepare_image(data, 64, "pad").astype(float)
    expected = prepare_image(make_dicom(upright), 64, "pad")
    assert abs(found - expected).mean() < 2


def test_headers_are_read_as_texts(make_dicom: MakeDicom, tmp_path: Path) -> None:
    code = Dataset()
    code.CodeMeaning = "postero-anterior"
    path = tmp_path / "film.dcm"
    path.write_bytes(
        make_dicom(
            film(8),
            PatientAge="063Y",
            PatientOrientation=["L", "F"],
            ViewPosition="",
            ViewCodeSequence=[code],
            PerformedProcedureCodeSequence=[],
        )
    )
    keywords = (
        *("PatientAge", "PatientOrientation", "ViewPosition", "PatientSex", "Rows"),
        *("ViewCodeSequence", "PerformedProcedureCodeSequence"),
    )
    found = ("063Y", "L\\F", "", "", "48", "postero-anterior", "")
    assert read_header(path, keywords) == dict(zip(keywords, found, strict=True))
    path.write_bytes(b"no DICOM at all, but long enough to look for a preamble" * 9)
    with pytest.raises(InputError, match=r"film\.dcm: "):
        read_header(path, keywords)
    with pytest.raises(InputError, match=r"cannot read .*absent"):
        read_header(tmp_path / "absent.dcm", keywords)
    with pytest.raises(ValueError, match="'ViewPostion' is no DICOM keyword"):
        read_header(path, ["ViewPostion"])


def test_a_file_without_preamble_is_dicom_all_the_same(make_dicom: MakeDicom) -> None:
    data = make_dicom(film(8))
    assert np.array_equal(prepare_image(data[132:], None, "pad"), gray(film(8)))


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        ({"PixelData": None}, "x.dcm: is DICOM without pixels"),
        ({"Rows": None}, r"without pixels \(None rows, 40 columns\)"),
        ({"Columns": 0}, r"without pixels \(48 rows, 0 columns\)"),
        ({"NumberOfFrames": 2}, "has 2 frames: a radiograph has one"),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "has pixels of kind RGB"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "has pixels of kind PALETTE COLOR"),
        ({"PhotometricInterpretation": None}, "has pixels of kind None"),
        ({"BitsAllocated": 32, "BitsStored": 32}, "has 32 of 32 bits a pixel"),
        ({"BitsStored": 12}, "has 12 of 8 bits a pixel"),
        ({"HighBit": 3}, "has the high bit 3 for 8 of 8 bits"),
        ({"Rows": 480}, "has 1920 bytes of pixels, 40x480 need 19200: the file is cut off"),
    ],
)
def test_what_is_no_radiograph_is_refused_in_one_line(
    make_dicom: MakeDicom, tmp_path: Path, elements: dict[str, Any], message: str
) -> None:
    path = tmp_path / "x.dcm"
    path.write_bytes(make_dicom(film(8), **elements))
    with pytest.raises(InputError, match=message) as caught:
        prepare_image(path, 32, "pad")
    assert str(caught.value).startswith("x.dcm")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("implicit", [True, False])
@pytest.mark.parametrize("bare", [True, False])
def test_a_file_that_names_no_syntax_is_read_if_its_pixels_have_the_length(
    make_dicom: MakeDicom, *, implicit: bool, bare: bool
) -> None:
    # 47 x 39 bytes: an odd number, padded to an even one.
    pixels = film(8, height=47, width=39)
    kinds = (uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian)
    read = pydicom.dcmread(io.BytesIO(make_dicom(pixels, syntax=kinds[not implicit])))
    del read.file_meta.TransferSyntaxUID

    def saved() -> bytes:
        file = io.BytesIO()
        if bare:  # elements from the first byte on
            pydicom.filewriter.write_dataset(
                as_little_endian(file, implicit=implicit), Dataset(dict(read))
            )
        else:
            read.save_as(file, implicit_vr=implicit, little_endian=True)
        return file.getvalue()

    assert np.array_equal(prepare_image(saved(), None, "pad"), gray(pixels))
    read.PixelData = read.PixelData[:-2]
    with pytest.raises(InputError, match=r"names no transfer syntax \(0002,0010\)"):
        prepare_image(saved(), 32, "pad")


def test_an_unknown_transfer_syntax_is_refused(make_dicom: MakeDicom) -> None:
    jpeg = encoded(Image.fromarray(film(8)), "JPEG")
    with pytest.raises(InputError, match=r"are MPEG2 .*, which pydicom cannot decode"):
        prepare_image(make_dicom(film(8), syntax=uid.MPEG2MPML, frame=jpeg), 32, "pad")
    data = make_dicom(film(8)).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.9\0")
    with pytest.raises(InputError, match="UID is not a transfer syntax"):
        prepare_image(data, 32, "pad")


def test_a_frame_that_contradicts_the_header_is_refused(
    make_dicom: MakeDicom, lossless_jpeg: LosslessJpeg
) -> None:
    pixels = film(8)
    for frame, message in (
        (encoded(Image.fromarray(film(8, width=44)), "JPEG"), "are 44x48 of 1 components"),
        (encoded(Image.fromarray(pixels).convert("RGB"), "JPEG"), "are 40x48 of 3 components"),
        (b"\xff\xd8 no JPEG", "compressed pixels have no readable header"),
        (b"\0\0", "compressed pixels have no readable header"),
    ):
        with pytest.raises(InputError, match=message):
            prepare_image(make_dicom(pixels, syntax=uid.JPEGBaseline8Bit, frame=frame), None, "pad")
    deep = lossless_jpeg(film(12), 12)
    with pytest.raises(InputError, match=r"8 bits a pixel .* compressed pixels have 12"):
        prepare_image(make_dicom(pixels, syntax=uid.JPEGLossless, frame=deep), None, "pad")


@pytest.mark.parametrize(
    "syntax",
    [
        *(uid.ExplicitVRLittleEndian, uid.DeflatedExplicitVRLittleEndian, uid.RLELossless),
        *(uid.JPEGBaseline8Bit, uid.JPEGLossless, uid.JPEGLSLossless, uid.JPEG2000Lossless),
    ],
    ids=lambda syntax: syntax.keyword,
)
def test_half_a_film_is_refused(
    make_dicom: MakeDicom, lossless_jpeg: LosslessJpeg, syntax: uid.UID
) -> None:
    # Half of the file, and half of the frame in a file that is whole.
    pixels = film(8)
    frames = {
        uid.JPEGBaseline8Bit: encoded(Image.fromarray(pixels), "JPEG"),
        uid.JPEGLossless: lossless_jpeg(pixels, 8),
    }
    data = make_dicom(pixels, syntax=syntax, frame=frames.get(syntax))
    with pytest.raises(InputError, match=r"cut off|truncated"):
        prepare_image(data[:-100], 32, "pad")
    if syntax.is_compressed:
        whole = next(
            pydicom.encaps.generate_frames(
                pydicom.dcmread(io.BytesIO(data)).PixelData, number_of_frames=1
            )
        )
        half = make_dicom(pixels, syntax=syntax, frame=whole[: len(whole) // 4 * 2])
        with pytest.raises(InputError) as caught:
            prepare_image(half, 32, "pad")
        assert "\n" not in str(caught.value)


def test_a_missing_decoder_is_named(
    make_dicom: MakeDicom, lossless_jpeg: LosslessJpeg, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = film(8)
    jpeg = make_dicom(pixels, syntax=uid.JPEGLossless, frame=lossless_jpeg(pixels, 8))
    rle = make_dicom(pixels, syntax=uid.RLELossless)
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with pytest.raises(InputError, match=r"are JPEG Lossless, .*: install imagecodecs to read"):
        prepare_image(jpeg, 32, "pad")
    with pytest.raises(InputError, match=r"are RLE Lossless: install imagecodecs to read"):
        prepare_image(rle, 32, "pad")
    decoder = get_decoder(uid.HTJ2K)
    monkeypatch.setattr(decoder, "_available", {})
    monkeypatch.setattr(decoder, "_unavailable", {"pylibjpeg": ("pylibjpeg-openjpeg>=2",)})
    with pytest.raises(InputError, match=r"are High-Throughput .* install one of .*-openjpeg"):
        prepare_image(make_dicom(pixels, syntax=uid.HTJ2K, frame=b"\0\0"), 32, "pad")


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared/cxr")
def test_real_films_have_the_pixels_that_pydicom_finds() -> None:
    with (SHARED / "index.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    compared = 0
    for row in rows:
        path = SHARED / row["file"]
        one_gray_frame = row["photometric"].startswith("MONOCHROME") and row["frames"] in ("", "1")
        if row["file"] in DEEP_JPEG:
            assert prepare_image(path, 64, "pad").any()
        elif (
            row["decode"] != "ok" or not one_gray_frame or row["bits_allocated"] not in ("8", "16")
        ):
            with pytest.raises(InputError):
                prepare_image(path, 64, "pad")
        else:
            assert prepare_image(path, 64, "pad").any(), path
            dataset = pydicom.dcmread(path, force=True)
            words = read_words(dataset, 1).words
            if dataset.PixelRepresentation:
                words = words.view(f"i{words.itemsize}")
            lossy = dataset.file_meta.TransferSyntaxUID in (uid.JPEGBaseline8Bit, uid.JPEG2000)
            assert abs(int(words.min()) - float(row["pmin"])) <= lossy, path
            assert abs(int(words.max()) - float(row["pmax"])) <= lossy, path
            compared += 1
    assert compared > 30


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared/cxr")
def test_a_real_film_in_12_bit_jpeg_is_near_its_lossless_copy() -> None:
    lossy, lossless = (
        prepare_image(SHARED / f"syntax/RG3_extremity_{kind}.dcm", 512, "pad").astype(float)
        for kind in ("JPLY", "JPLL")
    )
    assert np.sqrt(((lossy - lossless) ** 2).mean()) < 3


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared/cxr")
def test_a_real_film_is_the_same_in_each_lossless_syntax() -> None:
    films = sorted((SHARED / "cxr_transcoded").glob("*.dcm"))
    assert len(films) == 6
    for path in films:
        for size in (None, 256):
            found = prepare_image(path, size, "pad").astype(int)
            expected = prepare_image(SHARED / "cxr_transcoded/chest_explicit_le.dcm", size, "pad")
            assert abs(found - expected).max() <= (0 if size is None else 2), path
