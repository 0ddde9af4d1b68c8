"""Burned-in markers and borders in files without a stated range: the tissue looks as without."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

from roentgen.imaging.images import prepare_image, read_prepared
from roentgen.imaging.light import LightNote

MakeDicom = Callable[..., bytes]
SIDE = 256
KINDS = ["PNG", "MONOCHROME1", "MONOCHROME2"]


def tissue() -> np.ndarray:
    """Smooth values from 200 to 2300 with noise: float [SIDE, SIDE]."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    shares = (np.sin(5 * x) + np.cos(4 * y) + 2) / 4
    noise = np.random.default_rng(0).normal(0, 15, shares.shape)
    values: np.ndarray = (200 + 2100 * shares + noise).clip(0)
    return values


def block(area: float, top: float, left: float) -> np.ndarray:
    """A square of a share of the area with a corner there: its opacity, [SIDE, SIDE]."""
    side, (y, x) = round(SIDE * area**0.5), np.mgrid[:SIDE, :SIDE]
    y, x = y - round(top * SIDE), x - round(left * SIDE)
    return np.asarray((y >= 0) & (y < side) & (x >= 0) & (x < side), float)


def frame(area: float) -> np.ndarray:
    """A border of about a share of the area."""
    width = round(SIDE * (1 - (1 - area) ** 0.5) / 2)
    return 1 - np.pad(np.ones((SIDE - 2 * width,) * 2), width)


def letters(height: int) -> np.ndarray:
    """Anti-aliased text."""
    image = Image.new("L", (SIDE, SIDE))
    font = ImageFont.load_default(height)
    ImageDraw.Draw(image).text((10, 10), "L PA\nERECT", fill=255, font=font)
    return np.asarray(image) / 255


# Each marker is layers of (opacity, share of the file's depth).
Layers = list[tuple[np.ndarray, float]]
MARKERS: dict[str, Layers] = {
    **{f"block of {area:.1%}": [(block(area, 0.1, 0.1), 1)] for area in (0.001, 0.01, 0.05, 0.08)},
    **{
        f"soft block of {area:.1%}": [(gaussian_filter(block(area, 0.1, 0.1), 1.0), 1)]
        for area in (0.003, 0.01, 0.05, 0.07)
    },
    "two levels": [(block(0.005, 0.1, 0.1), 1), (block(0.005, 0.1, 0.7), 0.5)],
    "two near levels": [(block(0.02, 0.1, 0.1), 1), (block(0.02, 0.1, 0.7), 0.9)],
    "two soft levels": [
        (gaussian_filter(block(0.01, 0.1, 0.1), 1.0), 1),
        (gaussian_filter(block(0.01, 0.1, 0.7), 1.0), 0.5),
    ],
    "three levels": [
        *((block(0.01, 0.1, 0.1), 1), (block(0.01, 0.1, 0.7), 0.6), (block(0.01, 0.7, 0.7), 0.3)),
    ],
    "small letters": [(letters(12), 1)],
    "large letters": [(letters(40), 1)],
    "frame": [(frame(0.06), 1)],
    "frame and letters": [(frame(0.03), 0.8), (letters(24), 1)],
}


def burned_in(values: np.ndarray, layers: Layers, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """The values with the marker, uint16, and where it is."""
    touched = np.zeros(values.shape, bool)
    for opacity, level in layers:
        values = values * (1 - opacity) + opacity * level * depth
        touched |= opacity > 1e-6
    return np.rint(values).astype(np.uint16), touched


def shown(values: np.ndarray, kind: str, make_dicom: MakeDicom) -> np.ndarray:
    """As prepared at its own size, the negative of values of MONOCHROME1."""
    if kind == "PNG":
        file = io.BytesIO()
        Image.fromarray(values).save(file, "PNG")
        return prepare_image(file.getvalue(), None, "pad").astype(float)
    gray = prepare_image(make_dicom(values, PhotometricInterpretation=kind), None, "pad")
    return gray.astype(float)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("depth", [16383, 65535])
@pytest.mark.parametrize("marker", MARKERS)
def test_a_marker_or_border_changes_no_tissue(
    marker: str, depth: int, kind: str, make_dicom: MakeDicom
) -> None:
    expected = shown(np.rint(tissue()).astype(np.uint16), kind, make_dicom)
    values, touched = burned_in(tissue(), MARKERS[marker], depth)
    found = shown(values, kind, make_dicom)
    assert abs(found - expected)[~touched].max() <= 12  # of 255, at soft edges
    assert abs(found - expected)[~touched].mean() <= 6
    # A dark marker on bright tissue is the negative of it.
    found = shown(np.uint16(depth) - values, kind, make_dicom)
    assert abs(255 - found - expected)[~touched].max() <= 12


@pytest.mark.parametrize("kind", KINDS)
def test_a_black_border_is_disregarded_too(kind: str, make_dicom: MakeDicom) -> None:
    plain = tissue() + 3000
    expected = shown(np.rint(plain).astype(np.uint16), kind, make_dicom)
    values, touched = burned_in(plain, [(frame(0.08), 0), (letters(24), 1)], 65535)
    found = shown(values, kind, make_dicom)
    assert abs(found - expected)[~touched].max() <= 8


@pytest.mark.parametrize("area", [0.15, 0.3])
@pytest.mark.parametrize("level", [4095, 65535])
def test_a_border_too_large_to_be_one_is_noted(
    area: float, level: int, make_dicom: MakeDicom
) -> None:
    values, _ = burned_in(tissue(), [(frame(area), 1)], level)
    for size in (None, 128):
        assert LightNote.GAP in read_prepared(make_dicom(values), size, "pad").light
    plain = make_dicom(np.rint(tissue()).astype(np.uint16))
    assert read_prepared(plain, 128, "pad").light == (LightNote.MEASURED,)
    window = {"WindowCenter": level / 2, "WindowWidth": level}
    assert LightNote.GAP not in read_prepared(make_dicom(values, **window), 128, "pad").light


def test_metal_is_white_and_lets_tissue_be(make_dicom: MakeDicom) -> None:
    """A pacemaker and its lead, denser than any tissue: the brightest, and no darker tissue."""
    expected = shown(np.rint(tissue()).astype(np.uint16), "MONOCHROME2", make_dicom)
    lead = np.zeros((SIDE, SIDE))
    lead[60:200, 90:92] = 1
    for density in (2600, 3200, 4095):
        values = tissue()
        metal = np.maximum(block(0.015, 0.1, 0.6), lead) > 0
        values[metal] = density + np.random.default_rng(1).normal(0, 20, metal.sum())
        found = shown(np.rint(values).astype(np.uint16), "MONOCHROME2", make_dicom)
        assert (found[metal] >= 240).all()
        contrast = found[~metal].std() / expected[~metal].std()
        assert contrast > 2300 / min(density, 3200) * 0.95
