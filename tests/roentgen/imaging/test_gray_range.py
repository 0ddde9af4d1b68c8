"""Gray range: hot pixels, dead pixels, markers, and what is none of them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from roentgen.imaging.gray_range import robust_range, sampled, to_levels

SHARED = Path(__file__).parents[3] / "../shared/cxr"


def tissue(top: int, side: int = 64) -> np.ndarray:
    """A smooth image of values from 0 to `top`."""
    y, x = np.mgrid[:side, :side] / side
    shares = (np.sin(5 * x) + np.cos(4 * y) + 2) / 4
    shares = (shares - shares.min()) / (shares.max() - shares.min())
    values: np.ndarray = np.rint(shares * top).astype(np.uint16)
    return values


def shown(values: np.ndarray) -> np.ndarray:
    return to_levels(values, *robust_range(values))


def test_the_range_is_that_of_numpy_s_percentiles() -> None:
    values = np.random.default_rng(0).normal(2000, 300, (300, 211))
    low, high = np.percentile(values, [0.1, 99.9])
    assert robust_range(values) == pytest.approx((low, high), abs=1)
    few = np.array([[3, 5], [9, 4]])
    assert robust_range(few) == (3, 9)
    assert robust_range(np.array([7])) == (7, 7)


@pytest.mark.parametrize("top", [255, 1000, 2040, 2060, 4095, 40000])
def test_an_image_shows_the_same_at_every_depth(top: int) -> None:
    assert abs(shown(tissue(top)).astype(int) - shown(tissue(65000))).max() <= 1


@pytest.mark.parametrize("value", [0, 4096, 8000, 65535])
@pytest.mark.parametrize("pixels", [1, 3])
def test_hot_and_dead_pixels_change_nothing(value: int, pixels: int) -> None:
    plain = tissue(3000) + np.uint16(500)
    hot = plain.copy()
    hot.ravel()[7 : 7 + pixels] = value
    expected, found = shown(plain), shown(hot)
    assert found.ravel()[7] == (255 if value else 0)
    found.ravel()[7 : 7 + pixels] = expected.ravel()[7 : 7 + pixels]
    assert abs(found.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("value", [4095, 65535])
@pytest.mark.parametrize(("height", "width"), [(6, 6), (9, 13)])
def test_a_burned_in_marker_changes_nothing(value: int, height: int, width: int) -> None:
    plain = tissue(3000)
    marked = plain.copy()
    place = slice(4, 4 + height), slice(4, 4 + width)
    marked[place] = value
    soft = slice(4, 4 + height), 4 + width  # the edge that an enlarged marker has
    marked[soft] = np.linspace(0.2, 0.8, height) * value
    expected, found = shown(plain), shown(marked)
    assert (found[place] == 255).all()
    for one in (expected, found):
        one[4 : 4 + height, 4 : 5 + width] = 0
    assert abs(found.astype(int) - expected).max() <= 6  # some tissue becomes white, too
    # A black one on a bright image.
    inverse = shown(np.uint16(65535) - marked)
    assert (inverse[place] == 0).all()
    inverse[4 : 4 + height, 4 : 5 + width] = 255
    assert abs(255 - inverse.astype(int) - found).max() <= 1


def test_a_small_patient_on_a_large_detector_is_no_marker() -> None:
    # 2.8 % of the image, between background noise and white, without a gap.
    values = np.random.default_rng(0).integers(0, 20, (256, 256)).astype(np.uint16)
    values[100:143, 100:143] = tissue(3000, 43)
    low, high = robust_range(values)
    assert low <= 1
    assert high > 2800


def test_large_images_are_measured_on_some_of_their_pixels() -> None:
    values = tissue(4000, 2048)
    assert sampled(values).size < values.size // 10
    assert robust_range(sampled(values)) == pytest.approx(robust_range(values), abs=4)
    assert sampled(tissue(1, 256)).shape == (256, 256)


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared/cxr")
def test_real_radiographs_stay_as_they_are() -> None:
    # They fill their 8 bits, so as 12 bits of unknown range they are to look the same.
    files = [*(SHARED / "films/images").iterdir(), *(SHARED / "films64/images").iterdir()]
    bordered = []
    for path in sorted(files)[::3]:
        pixels = sampled(np.asarray(Image.open(path).convert("L")))
        ordered = np.sort(pixels, axis=None)
        low, high = ordered[len(ordered) // 1000], ordered[-1 - len(ordered) // 1000]
        found = shown(pixels.astype(np.uint16) * np.uint16(16)).astype(float)
        expected = ((pixels - float(low)) / (high - low)).clip(0, 1) * 255
        if abs(found - expected).max() > 1:
            bordered.append(path.name)
    assert set(bordered) <= {"00000121_000.png"}  # a black strip beside the shoulder
