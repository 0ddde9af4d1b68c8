"""Masks are reduced by area, and thin structures stay whole."""

from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage

from roentgen.imaging.masks import resize_mask

Mask = np.ndarray
TOUCHING = np.ones((3, 3))


def reduced(mask: Mask, size: int) -> Mask:
    return resize_mask(mask, (size, size), (0, 0, *mask.shape[::-1]))


def line(start: tuple[int, int], end: tuple[int, int], side: int = 512) -> Mask:
    """A line one pixel wide, of max(|dx|, |dy|) + 1 pixels."""
    image = Image.new("1", (side, side))
    ImageDraw.Draw(image).line([start, end], fill=1)
    return np.array(image)


def lines() -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    for offset in range(4):  # every place within a pixel of the smallest size
        yield (100 + offset, 60), (100 + offset, 459)
        yield (60, 100 + offset), (459, 100 + offset)
        yield (60, 60 + offset), (459 - offset, 459)
        yield (60, 459 - offset), (459 - offset, 60)
    draws = np.random.default_rng(0)
    for angle in draws.uniform(0, np.pi, 40):
        x, y = 200 * np.cos(angle), 200 * np.sin(angle)
        yield (256 - round(x), 256 - round(y)), (256 + round(x), 256 + round(y))


@pytest.mark.parametrize(("start", "end"), list(lines()))
@pytest.mark.parametrize("sizes", [(256,), (128,), (256, 128), (200,)])
def test_a_line_stays_connected_and_has_its_length(
    start: tuple[int, int], end: tuple[int, int], sizes: tuple[int, ...]
) -> None:
    mask = line(start, end)
    for size in sizes:
        mask = reduced(mask, size)
    assert ndimage.label(mask, TOUCHING)[1] == 1
    length = max(abs(end[0] - start[0]), abs(end[1] - start[1])) * sizes[-1] / 512
    assert abs(int(mask.sum()) - length) <= 2 + 0.05 * length
    rows, columns = np.nonzero(mask)
    extent = max(np.ptp(rows), np.ptp(columns))
    assert abs(extent - length) <= 3


@pytest.mark.parametrize("width", [2, 3])
@pytest.mark.parametrize("offset", range(4))
def test_a_tube_has_its_width_or_one_pixel(width: int, offset: int) -> None:
    mask = np.zeros((512, 512), bool)
    mask[60:460, 200 + offset : 200 + offset + width] = True
    for size in (256, 128):
        small = reduced(mask, size)
        expected = max(1.0, width * size / 512)
        per_row = small.sum(axis=1)[small.any(axis=1)]
        assert abs(per_row.mean() - expected) <= 0.5
        assert np.ptp(per_row[2:-2]) == 0
        assert ndimage.label(small, TOUCHING)[1] == 1


def lungs(seed: int) -> Mask:
    """Two lungs: smooth closed curves at random places."""
    draws = np.random.default_rng(seed)
    y, x = np.mgrid[:512, :512] + 0.5
    mask = np.zeros((512, 512), bool)
    for center in (150, 360):
        cx, cy = center + draws.uniform(-4, 4), 256 + draws.uniform(-4, 4)
        angle = np.arctan2(y - cy, x - cx)
        radius = 1 + 0.1 * np.sin(3 * angle + draws.uniform(0, 6))
        mask |= ((x - cx) / 80) ** 2 + ((y - cy) / 170) ** 2 <= radius**2
    return mask


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("size", [256, 200, 128])
def test_a_large_mask_has_its_area_and_its_shape(seed: int, size: int) -> None:
    mask = lungs(seed)
    small = reduced(mask, size)
    assert small.mean() == pytest.approx(mask.mean(), rel=0.01)
    by_area = np.asarray(
        Image.fromarray(mask.astype(np.float32)).resize((size, size), Image.Resampling.BOX)
    )
    if 512 % size == 0:
        assert small[by_area > 0.5].all()
        assert (small & (by_area < 0.5)).sum() <= 0.001 * small.sum()
    assert ndimage.label(small, TOUCHING)[1] == 2


@pytest.mark.parametrize("first", [100, 101])
@pytest.mark.parametrize("last", [300, 301])
def test_edges_within_a_pixel_do_not_change_the_area(first: int, last: int) -> None:
    mask = np.zeros((512, 512), bool)
    mask[first:last, first:last] = True
    assert reduced(mask, 256).mean() == pytest.approx(mask.mean(), rel=0.011)


def test_a_single_pixel_does_not_vanish() -> None:
    for place in range(8):
        mask = np.zeros((64, 64), bool)
        mask[place, 2 * place] = True
        assert reduced(mask, 8).sum() == 1


def test_holes_and_rings_stay_rings() -> None:
    image = Image.new("1", (512, 512))
    ImageDraw.Draw(image).ellipse((101, 103, 401, 405), outline=1)
    small = reduced(np.array(image), 128)
    assert ndimage.label(small, TOUCHING)[1] == 1
    assert ndimage.label(~small)[1] == 2  # outside and inside


def test_enlarging_repeats_pixels_and_an_empty_mask_stays_empty() -> None:
    mask = np.random.default_rng(0).random((9, 9)) < 0.5
    np.testing.assert_array_equal(reduced(mask, 27), np.kron(mask, np.ones((3, 3))) > 0)
    np.testing.assert_array_equal(reduced(mask, 9), mask)
    assert not reduced(np.zeros((9, 9), bool), 4).any()


def test_a_box_is_placed_where_it_lies() -> None:
    mask = np.zeros((40, 60), bool)
    mask[10:20, 20:40] = True
    np.testing.assert_array_equal(
        resize_mask(mask, (10, 5), (20, 10, 40, 20)), np.ones((5, 10), bool)
    )
