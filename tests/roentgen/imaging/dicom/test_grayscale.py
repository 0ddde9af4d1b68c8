"""Gray levels of DICOM films against PS3.3, value by value."""

import io
import math
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom import Dataset, uid
from pydicom.pixels.processing import (
    apply_modality_lut,
    apply_presentation_lut,
    apply_voi_lut,
)

from roentgen.errors import InputError
from roentgen.imaging.images import prepare_image

MakeDicom = Callable[..., bytes]
RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)  # each value of 12 bits once


def gray(film: bytes) -> np.ndarray:
    """As prepared at its own size."""
    return prepare_image(film, None, "pad")


def robust(values: np.ndarray) -> np.ndarray:
    """Shares of the range from the 0.1th to the 99.9th percentile."""
    ordered, tail = np.sort(values, axis=None).astype(float), values.size // 1000
    low, high = ordered[tail], ordered[-1 - tail]
    shares: np.ndarray = ((values - low) / (high - low)).clip(0, 1)
    return shares


def rounded(function: Callable[[float], float], values: np.ndarray) -> np.ndarray:
    """The function, 0 to 255, of each value."""
    levels: np.ndarray = np.vectorize(lambda x: round(min(max(function(float(x)), 0), 255)))(values)
    return levels


def linear(x: float, center: float, width: float) -> float:
    """The pseudo-code of C.11.2.1.2.1, from 0 to 255."""
    if x <= center - 0.5 - (width - 1) / 2:
        return 0
    if x > center - 0.5 + (width - 1) / 2:
        return 255
    return ((x - (center - 0.5)) / (width - 1) + 0.5) * 255


def exact(x: float, center: float, width: float) -> float:
    """The pseudo-code of C.11.2.1.3.2."""
    if x <= center - width / 2:
        return 0
    if x > center + width / 2:
        return 255
    return ((x - center) / width + 0.5) * 255


def sigmoid(x: float, center: float, width: float) -> float:
    """The formula of C.11.2.1.3.1."""
    return 255 / (1 + math.exp(-4 * (x - center) / width))


def table(values: list[int], first: int, bits: int) -> Dataset:
    """An item of a Modality or VOI LUT Sequence."""
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(values) % 65536, first, bits])
    item.add_new("LUTData", "US", values)
    item.ModalityLUTType = "US"
    return item


def short_table() -> Dataset:
    """A table that lacks its last entry."""
    item = table([1, 2, 3], 0, 16)
    item.LUTDescriptor = [4, 0, 16]
    return item


def test_the_standard_s_own_examples_of_windows(make_dicom: MakeDicom) -> None:
    # C.11.2.1.2.1: centre 2048 and width 4096 show 0 to 4095, and "c=2048, w=1" splits at 2047.5.
    whole = gray(make_dicom(RAMP, stored=12, WindowCenter=2048, WindowWidth=4096))
    assert np.array_equal(whole, rounded(lambda x: ((x - 2047.5) / 4095 + 0.5) * 255, RAMP))
    split = gray(make_dicom(RAMP, stored=12, WindowCenter=2048, WindowWidth=1))
    assert np.array_equal(split, np.where(RAMP <= 2047, 0, 255))
    # "c=0, w=100: if (x <= -50) y = 0, else if (x > 49) y = 255, else ((x + 0.5) / 99 + 0.5) * 255"
    signed = (RAMP.astype(np.int16) - 2048).astype(np.int16)
    narrow = gray(make_dicom(signed, stored=12, WindowCenter=0, WindowWidth=100))
    expected = np.select(
        [signed <= -50, signed > 49], [0, 255], np.rint(((signed + 0.5) / 99 + 0.5) * 255)
    )
    assert np.array_equal(narrow, expected)


@pytest.mark.parametrize(("center", "width"), [(2048, 4096), (1000.5, 700.25), (4000, 900), (9, 2)])
@pytest.mark.parametrize(
    ("name", "function"),
    [(None, linear), ("LINEAR", linear), ("LINEAR_EXACT", exact), ("SIGMOID", sigmoid)],
)
def test_windows(
    make_dicom: MakeDicom,
    name: str | None,
    function: Callable[[float, float, float], float],
    center: float,
    width: float,
) -> None:
    elements: dict[str, Any] = {"WindowCenter": center, "WindowWidth": width}
    if name:
        elements["VOILUTFunction"] = name
    found = gray(make_dicom(RAMP, stored=12, **elements))
    expected = rounded(lambda x: function(x, center, width), RAMP)
    assert abs(found.astype(int) - expected).max() <= 1  # halves round either way
    assert (found != expected).mean() < 0.002


def test_the_first_of_several_windows_counts_and_one_without_width_is_none(
    make_dicom: MakeDicom,
) -> None:
    two = make_dicom(RAMP, stored=12, WindowCenter=[2048, 500], WindowWidth=[4096, 50])
    one = make_dicom(RAMP, stored=12, WindowCenter=2048, WindowWidth=4096)
    assert np.array_equal(gray(two), gray(one))
    empty = make_dicom(RAMP // 2 + 7, stored=12, WindowCenter=0, WindowWidth=0)
    assert np.array_equal(gray(empty), gray(make_dicom(RAMP // 2 + 7, stored=12)))


def test_monochrome1_is_the_negative(make_dicom: MakeDicom) -> None:
    for window in ({}, {"WindowCenter": 1800, "WindowWidth": 1001}):
        positive = gray(make_dicom(RAMP, stored=12, **window))
        film = make_dicom(RAMP, stored=12, PhotometricInterpretation="MONOCHROME1", **window)
        assert abs(gray(film).astype(int) + positive - 255).max() <= 1  # halves again
        assert (gray(film).ravel()[0], gray(film).ravel()[-1]) == (255, 0)


@pytest.mark.parametrize("bits", range(8, 17))
@pytest.mark.parametrize("signed", [False, True])
def test_each_depth_spans_black_to_white(make_dicom: MakeDicom, bits: int, *, signed: bool) -> None:
    values = np.linspace(0, 2**bits - 1, 4096).round().reshape(64, 64)
    kind = ("i" if signed else "u") + str(1 if bits == 8 else 2)
    stored = (values - signed * 2 ** (bits - 1)).astype(kind)
    found = gray(make_dicom(stored, stored=bits))
    assert np.array_equal(found, np.rint(robust(values) * 255))


def test_without_a_window_gray_runs_from_the_smallest_value_to_the_largest(
    make_dicom: MakeDicom,
) -> None:
    pixels = np.array([[300, 500, 900], [700, 1100, 301]], np.uint16)
    expected = np.rint((pixels - 300) / 800 * 255)
    assert np.array_equal(gray(make_dicom(pixels, stored=12)), expected)
    signed = (pixels.astype(np.int16) - 600).astype(np.int16)
    assert np.array_equal(gray(make_dicom(signed, stored=12)), expected)
    falling = make_dicom(pixels, stored=12, RescaleSlope=-2, RescaleIntercept=5)
    assert np.array_equal(gray(falling), np.rint((1100 - pixels.astype(float)) / 800 * 255))


@pytest.mark.parametrize("value", [4095, 0, 2500])
def test_a_hot_pixel_has_no_say_without_a_window(make_dicom: MakeDicom, value: int) -> None:
    plain = np.clip(smooth(1800), 0, 1800).astype(np.uint16) + np.uint16(200)
    hot = plain.copy()
    hot[20, 20] = value
    expected, found = gray(make_dicom(plain, stored=12)), gray(make_dicom(hot, stored=12))
    expected[20, 20] = found[20, 20]
    assert abs(found.astype(int) - expected).max() <= 1


def smooth(top: int) -> np.ndarray:
    """64x64 pixels from 0 to `top` that no row or column steps through."""
    y, x = np.mgrid[:64, :64] / 64
    shares: np.ndarray = (np.sin(5 * x) + np.cos(4 * y) + 2) / 4
    shares = (shares - shares.min()) / (shares.max() - shares.min())
    values: np.ndarray = np.rint(shares * top).astype(int)
    return values


@pytest.mark.parametrize("declared", [False, True])
@pytest.mark.parametrize("share", [0.01, 0.3])
def test_overlay_bits_above_the_stored_ones_are_dropped(
    make_dicom: MakeDicom, *, share: float, declared: bool
) -> None:
    plain = smooth(4095).astype(np.uint16)
    drawn = np.random.default_rng(0).random(plain.shape) < share
    overlaid = plain | np.where(drawn, 0xF000, 0).astype(np.uint16)
    elements = {"WindowCenter": 2048, "WindowWidth": 4096}
    data = make_dicom(overlaid, stored=12, **elements)
    if declared:
        read = pydicom.dcmread(io.BytesIO(data))
        read.add_new(0x60000100, "US", 16)
        read.add_new(0x60000102, "US", 12)
        file = io.BytesIO()
        read.save_as(file)
        data = file.getvalue()
    assert np.array_equal(gray(data), gray(make_dicom(plain, stored=12, **elements)))
    high = make_dicom((RAMP << 4).astype(np.uint16), stored=12, HighBit=15)
    assert np.array_equal(gray(high), gray(make_dicom(RAMP, stored=12)))


@pytest.mark.parametrize(("lowest", "stored"), [(0, 10), (0, 11), (-2048, 10), (-2048, 11)])
def test_values_beyond_their_stored_bits_do_not_wrap(
    make_dicom: MakeDicom, lowest: int, stored: int
) -> None:
    values = (smooth(4095) + lowest).astype(np.int16 if lowest else np.uint16)
    for window in ({}, {"WindowCenter": 2048 + lowest, "WindowWidth": 4096}):
        found = gray(make_dicom(values, stored=stored, **window))
        assert np.array_equal(found, gray(make_dicom(values, stored=12, **window)))


def test_signed_values_may_repeat_their_sign_above_the_stored_bits(make_dicom: MakeDicom) -> None:
    values = (smooth(4095) - 2048).astype(np.int16)
    bare = (values & 0xFFF).astype(np.int16)
    window = {"WindowCenter": 0, "WindowWidth": 4096}
    expected = np.rint((values + 2048) / 4095 * 255)
    for stored in (values, bare):
        assert abs(gray(make_dicom(stored, stored=12, **window)) - expected).max() <= 1


@pytest.mark.parametrize(
    ("kind", "shape", "inverse"),
    [
        ("MONOCHROME2", "IDENTITY", False),
        ("MONOCHROME2", "INVERSE", True),
        ("MONOCHROME1", "INVERSE", True),  # the one implies the other: C.8.11.3.1.2
        ("MONOCHROME1", "IDENTITY", True),
        ("MONOCHROME2", " inverse", True),
    ],
)
@pytest.mark.parametrize("window", [{}, {"WindowCenter": 1800, "WindowWidth": 1001}])
def test_presentation_lut_shape(
    make_dicom: MakeDicom, kind: str, shape: str, window: dict[str, Any], *, inverse: bool
) -> None:
    elements = {"PhotometricInterpretation": kind, "PresentationLUTShape": ("CS", shape)}
    found = gray(make_dicom(RAMP, stored=12, **elements, **window)).astype(int)
    plain = gray(make_dicom(RAMP, stored=12, **window))
    assert abs(found - (255 - plain if inverse else plain)).max() <= 1
    if kind == "MONOCHROME2":
        read = pydicom.dcmread(io.BytesIO(make_dicom(RAMP, PresentationLUTShape=("CS", shape))))
        shown = apply_presentation_lut(np.array([0, 255]), read)
        assert (found.ravel()[0] > found.ravel()[-1]) == (shown[0] > shown[1])


@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("shape", [None, "INVERSE"])
@pytest.mark.parametrize("window", [{}, {"WindowCenter": 1800, "WindowWidth": 1001}])
@pytest.mark.parametrize("falling", [False, True])
def test_presentation_lut_sequence(
    make_dicom: MakeDicom, kind: str, shape: str | None, window: dict[str, Any], *, falling: bool
) -> None:
    """Its output is P-values, of which the highest is white: C.11.6."""
    entries = [n * n // 1023 for n in range(1024)]
    item = table(entries[::-1] if falling else entries, 0, 10)
    elements: dict[str, Any] = {"PresentationLUTSequence": [item], **window}
    if shape:
        elements["PresentationLUTShape"] = ("CS", shape)
    film = make_dicom(RAMP, stored=12, PhotometricInterpretation=kind, **elements)
    plain = gray(make_dicom(RAMP, stored=12, **window)).astype(float)
    expected = (((255 - plain) if falling else plain) / 255) ** 2 * 255
    assert abs(gray(film) - expected).max() <= 2  # two levels of rounding
    read = pydicom.dcmread(io.BytesIO(film))
    shown = apply_presentation_lut(np.arange(1024), read) / 1023 * 255
    places = np.rint(plain.ravel() / 255 * 1023).astype(int)
    assert abs(gray(film).ravel() - shown[places]).max() <= 2


def voi_table() -> Dataset:
    """A VOI LUT over all values."""
    return table([n * n // 4096 for n in range(4096)], 0, 12)


@pytest.mark.parametrize(
    "elements",
    [
        {"WindowCenter": [1500, 99], "WindowWidth": [2000, 9]},
        {"WindowCenter": 1500, "WindowWidth": 2000, "VOILUTFunction": "LINEAR_EXACT"},
        {"WindowCenter": 1500, "WindowWidth": 900, "VOILUTFunction": "SIGMOID"},
        {
            **{"RescaleSlope": 0.5, "RescaleIntercept": -1000},
            **{"WindowCenter": -200, "WindowWidth": 1500},
        },
        {"VOILUTSequence": [voi_table()]},
        {"VOILUTSequence": [voi_table()], "WindowCenter": 9, "WindowWidth": 3},
        {
            "ModalityLUTSequence": [table([4095 - n for n in range(4096)], 0, 16)],
            **{"WindowCenter": 2000, "WindowWidth": 3000},
        },
    ],
    ids=lambda elements: "-".join(elements),
)
@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("signed", [False, True])
def test_gray_is_what_pydicom_computes(
    make_dicom: MakeDicom, elements: dict[str, Any], kind: str, *, signed: bool
) -> None:
    tables = {"ModalityLUTSequence", "VOILUTSequence"} & elements.keys()
    if signed and tables:
        pytest.skip("these tables begin at 0")
    pixels = smooth(4095).astype(np.uint16)
    if signed:
        pixels = (pixels.astype(np.int16) - 2048).astype(np.int16)
    data = make_dicom(pixels, stored=12, PhotometricInterpretation=kind, **elements)
    read = pydicom.dcmread(io.BytesIO(data))
    shown = apply_voi_lut(apply_modality_lut(read.pixel_array, read), read).astype(float)
    low, high = 0.0, 4095.0
    if "VOILUTSequence" not in elements:  # pydicom's output runs over the stored range, rescaled
        ends = np.array([-2048, 2047] if signed else [0, 4095], np.int16)
        low, high = apply_modality_lut(ends, read).astype(float)
        low, high = min(low, high), max(low, high)
        if "ModalityLUTSequence" in elements:
            low, high = 0.0, 65535.0  # of the bits that the table declares
    expected = ((shown - low) / (high - low)).clip(0, 1) * 255
    if kind == "MONOCHROME1":
        expected = 255 - expected
    assert abs(gray(data) - expected).max() <= 1


def test_rescale_comes_before_the_window(make_dicom: MakeDicom) -> None:
    elements = {"RescaleSlope": 2.5, "RescaleIntercept": -1024}
    film = make_dicom(RAMP, stored=12, WindowCenter=400, WindowWidth=2000, **elements)
    expected = rounded(lambda x: linear(2.5 * x - 1024, 400, 2000), RAMP)
    assert abs(gray(film).astype(int) - expected).max() <= 1


def test_modality_lut_clamps_at_its_ends(make_dicom: MakeDicom) -> None:
    entries = [1000 - 3 * n for n in range(100)]
    film = make_dicom(
        RAMP,
        stored=12,
        ModalityLUTSequence=[table(entries, 50, 16)],
        WindowCenter=850,
        WindowWidth=400,
    )
    mapped = [entries[min(max(value - 50, 0), 99)] for value in range(4096)]
    expected = rounded(lambda x: linear(x, 850, 400), np.array(mapped).reshape(64, 64))
    assert abs(gray(film).astype(int) - expected).max() <= 1


@pytest.mark.parametrize(("bits", "declared"), [(8, 8), (10, 10), (12, 12), (16, 16), (12, 16)])
def test_voi_lut_wins_over_the_window(make_dicom: MakeDicom, bits: int, declared: int) -> None:
    # Tables of 12 bits declared as 16 are common; they would come out nearly black.
    top = 2**bits - 1
    entries = [round(top * math.sqrt(n / 999)) for n in range(1000)]
    film = make_dicom(
        RAMP,
        stored=12,
        VOILUTSequence=[table(entries, 1500, declared), table([0, 1], 0, 16)],
        WindowCenter=50,
        WindowWidth=10,
    )
    mapped = [entries[min(max(value - 1500, 0), 999)] / top * 255 for value in range(4096)]
    assert abs(gray(film) - np.array(mapped).reshape(64, 64)).max() <= 0.51


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian])
def test_tables_of_bytes(make_dicom: MakeDicom, syntax: uid.UID) -> None:
    # OW by the file's byte order; tables of 8 bits are also found with a byte an entry.
    entries = np.arange(4096) * 15
    wide = table([0], 0, 16)
    wide.LUTDescriptor = [4096, 0, 16]
    order = ">" if syntax == uid.ExplicitVRBigEndian else "<"
    wide.add_new("LUTData", "OW", entries.astype(f"{order}u2").tobytes())
    found = gray(make_dicom(RAMP, stored=12, syntax=syntax, VOILUTSequence=[wide]))
    assert np.array_equal(found, np.rint(entries / 65535 * 255).reshape(64, 64))
    packed = table([0], 0, 8)
    packed.LUTDescriptor = [4096, 0, 8]
    packed.add_new("LUTData", "OW", (entries // 256).astype("u1").tobytes())
    found = gray(make_dicom(RAMP, stored=12, syntax=syntax, VOILUTSequence=[packed]))
    assert np.array_equal(found, (entries // 256).reshape(64, 64))


def test_a_table_may_begin_below_zero(make_dicom: MakeDicom) -> None:
    signed = (RAMP.astype(np.int16) - 2048).astype(np.int16)
    entries = list(range(0, 4000, 2))
    for first in (-1000, 64536):  # as SS, and as the US that many files have
        item = table(entries, 0, 12)
        item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [2000, first, 12])
        found = gray(make_dicom(signed, stored=12, VOILUTSequence=[item]))
        expected = np.clip(2 * (signed.astype(int) + 1000), 0, 3998) / 4095 * 255
        assert np.array_equal(found, np.rint(expected))


def test_a_dim_voi_lut_stays_as_dim_as_it_says(make_dicom: MakeDicom) -> None:
    entries = [n // 4 for n in range(4096)]  # up to a quarter of its 12 bits
    found = gray(make_dicom(RAMP, stored=12, VOILUTSequence=[table(entries, 0, 12)]))
    assert found.max() == round(1023 / 4095 * 255)


@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_has_no_say_in_the_levels(make_dicom: MakeDicom, kind: str) -> None:
    inside = np.linspace(1000, 2000, 36).round().astype(np.uint16).reshape(6, 6)
    expected = np.rint((inside - 1000) / 1000 * 255)
    if kind == "MONOCHROME1":
        expected = np.rint((1 - (inside - 1000) / 1000) * 255)
    for value, limit, used in [(0, None, [0]), (4095, None, [4095]), (4095, 4000, [4000, 4050])]:
        framed = np.full((10, 10), used[0], np.uint16)
        framed[:, -2:] = used[-1]
        framed[2:8, 2:8] = inside
        elements = {"PixelPaddingValue": value, "PhotometricInterpretation": kind}
        if limit is not None:
            elements["PixelPaddingRangeLimit"] = limit
        found = gray(make_dicom(framed, stored=12, **elements))
        assert np.array_equal(found[2:8, 2:8], expected)
        found[2:8, 2:8] = 0
        assert not found.any()


@pytest.mark.parametrize("level", [0, 2, 4])
def test_padding_that_a_near_lossless_coder_changed_is_black(
    make_dicom: MakeDicom, level: int
) -> None:
    # Scattered tissue makes the coder change the padding beside it, up to the level it declares.
    noise = np.random.default_rng(0).integers(0, 40, (64, 64))
    words = (smooth(3000) + 1000 + noise).astype(np.uint16)
    padding = smooth(100) % 10 < 3
    words[padding] = 500
    frame = bytes(imagecodecs.jpegls_encode(words, level=level))
    assert (len(np.unique(imagecodecs.jpegls_decode(frame)[padding])) > 1) == (level > 0)
    syntax = uid.JPEGLSNearLossless
    found = gray(make_dicom(words, stored=12, syntax=syntax, frame=frame, PixelPaddingValue=500))
    assert not found[padding].any()
    ordered = np.sort(words[~padding])
    tail = ordered.size // 1000
    low, high = float(ordered[tail]), float(ordered[-1 - tail])
    expected = ((words[~padding] - low) / (high - low)).clip(0, 1) * 255
    assert abs(found[~padding] - expected).max() <= 1 + level * 255 / 3000


def test_signed_padding_is_known_in_either_spelling(make_dicom: MakeDicom) -> None:
    pixels = np.linspace(-1000, 1000, 64).round().astype(np.int16).reshape(8, 8)
    pixels[0] = -2000
    expected = np.rint((pixels - pixels[1:].min()) / (pixels[1:].max() - pixels[1:].min()) * 255)
    expected[0] = 0
    for spelling in ("SS", "US"):
        value = -2000 if spelling == "SS" else 63536
        found = gray(make_dicom(pixels, PixelPaddingValue=(spelling, value)))
        assert np.array_equal(found, expected), spelling


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        ({"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 4095}, "all of its pixels are padding"),
        ({"RescaleSlope": "nan", "RescaleIntercept": 0}, "rescale or window is not a number"),
        ({"RescaleSlope": 0, "RescaleIntercept": 7}, "has no contrast"),
        ({"WindowCenter": 9000, "WindowWidth": 2}, "has no contrast"),
        (
            {"WindowCenter": 9, "WindowWidth": 2, "VOILUTFunction": "CUBIC"},
            "VOI LUT function 'CUBIC' is unknown: LINEAR, LINEAR_EXACT or SIGMOID",
        ),
        ({"VOILUTSequence": [short_table()]}, "a lookup table has 3 of its 4 entries"),
    ],
)
def test_headers_that_show_nothing_are_refused(
    make_dicom: MakeDicom, elements: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        gray(make_dicom(RAMP, stored=12, **elements))
    assert "\n" not in str(caught.value)
