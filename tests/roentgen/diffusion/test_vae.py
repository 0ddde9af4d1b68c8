"""PSNR against its closed form."""

import numpy as np

from roentgen.diffusion.vae import psnr


def test_psnr_of_a_known_error() -> None:
    images = np.full((2, 16, 16), 100, np.uint8)
    others = np.stack([images[0] + np.uint8(5), images[1] - np.uint8(1)])
    np.testing.assert_allclose(psnr(images, others), [20 * np.log10(51), 20 * np.log10(255)])


def test_the_psnr_of_equal_images_is_finite() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8), dtype=np.uint8)
    images.flags.writeable = False
    assert psnr(images, images).tolist() == [168, 168]
