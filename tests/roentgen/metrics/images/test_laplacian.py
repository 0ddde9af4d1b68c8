import numpy as np
import pytest
from scipy import ndimage

from roentgen.metrics.images.laplacian import laplacian_detail


@pytest.mark.parametrize("period", [4, 8, 16])
def test_the_detail_of_a_wave(period: int) -> None:
    """The Laplacian of a wave along x is the wave times 2 - 2 cos(2 pi / period)."""
    x = np.arange(10 * period + 2)
    wave = np.tile(127.5 + 100 * np.cos(2 * np.pi * x / period), (66, 1))
    found = laplacian_detail(wave.round().astype(np.uint8)[None])
    assert found == pytest.approx(np.log(2 - 2 * np.cos(2 * np.pi / period)), abs=0.05)


def test_detail_is_scipys_laplacian_and_independent_of_contrast() -> None:
    image = np.random.default_rng(0).integers(60, 120, (1, 40, 40), dtype=np.uint8)
    inner = ndimage.laplace(image[0].astype(float))[1:-1, 1:-1]
    assert laplacian_detail(image) == pytest.approx(np.log(inner.std() / image.std()))
    assert laplacian_detail(2 * image + 7) == pytest.approx(laplacian_detail(image))
    blurred = ndimage.gaussian_filter(image[0].astype(float), 1).round().astype(np.uint8)
    assert laplacian_detail(blurred[None]) < laplacian_detail(image) - 1


def test_an_image_without_contrast_has_none() -> None:
    assert laplacian_detail(np.full((2, 8, 8), 7, np.uint8)).tolist() == [-20.0, -20.0]
