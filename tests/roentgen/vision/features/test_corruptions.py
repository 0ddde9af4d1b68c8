"""Corruptions against what defines each, and their strengths."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.special import sici

from roentgen.imaging.images import decode, encode_jpeg
from roentgen.metrics.images.power_spectrum import BAND_ENDS, band_shares
from roentgen.vision.features.corruptions import (
    CORRUPTIONS,
    RANGES,
    Corruption,
    Image,
    apply,
    corrupt,
)

SIDE = 128


def textured(seed: int = 0, side: int = SIDE) -> Image:
    noise = np.random.default_rng(seed).normal(size=(side, side))
    image = 128 + 25 * (8 * gaussian_filter(noise, 8) + 2 * gaussian_filter(noise, 1))
    result: Image = image.round().clip(0, 255).astype(np.uint8)
    return result


def generator() -> np.random.Generator:
    return np.random.default_rng(7)


def changed(kind: Corruption, amount: float) -> np.ndarray:
    image = textured()
    result: np.ndarray = apply(image, kind, amount, generator()).astype(float) - image
    return result


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_strength_runs_from_mild_to_strong(kind: Corruption) -> None:
    image = textured().astype(float)
    strengths = (0.0, 0.25, 0.5, 0.75, 1.0)
    errors = [
        np.sqrt(np.mean((corrupt(textured(), kind, s, generator()) - image) ** 2))
        for s in strengths
    ]
    assert errors == sorted(errors)
    assert errors[0] < errors[-1] / 2
    first, last = (apply(textured(), kind, amount, generator()) for amount in RANGES[kind])
    np.testing.assert_array_equal(corrupt(textured(), kind, 0.0, generator()), first)
    np.testing.assert_array_equal(corrupt(textured(), kind, 1.0, generator()), last)


def test_blur_is_gaussian_and_noise_white() -> None:
    expected = gaussian_filter(textured().astype(float), 2.0)
    assert np.abs(apply(textured(), "blur", 2.0, generator()) - expected).max() <= 0.5
    noise = changed("noise", 12.0)
    assert noise.std() == pytest.approx(12, rel=0.02)
    assert abs(np.mean(noise[1:] * noise[:-1])) < 3


def test_ringing_lacks_the_frequencies_above_its_radius() -> None:
    """A radius of 0.4 of Nyquist's is 0.2 cycles per pixel, below the last band."""
    rung = apply(textured(), "ringing", 0.4, generator())
    before, after = band_shares(np.stack([textured(), rung]))
    assert BAND_ENDS[-2] == 0.25
    assert after[5] < 0.02 * before[5]
    np.testing.assert_allclose(after[:3] / before[:3], after[0] / before[0], rtol=0.05)
    edge = np.zeros((SIDE, SIDE), np.uint8) + np.uint8(60)
    edge[:, SIDE // 2 :] = 180
    rung = apply(edge, "ringing", 0.5, generator())
    centers = np.arange(20) + 0.5  # of pixels, from the step on
    overshoot = (sici(2 * np.pi * 0.25 * centers)[0] / np.pi - 0.5).max()  # Gibbs
    assert rung.max() == pytest.approx(180 + overshoot * 120, abs=1.5)


def test_jpeg_is_the_codec_at_this_quality() -> None:
    expected = decode(encode_jpeg(textured(), 30))
    np.testing.assert_array_equal(apply(textured(), "jpeg", 30, generator()), expected)


@pytest.mark.parametrize("kind", ["erasure", "texture"])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_share_of_the_image_is_replaced(kind: Corruption, share: float) -> None:
    replaced = np.abs(changed(kind, share)) > 1
    assert replaced.mean() == pytest.approx(share, abs=0.08 + 0.15 * share)


def test_erasure_leaves_what_is_coarse_and_texture_the_spectrum() -> None:
    image = textured().astype(float)
    erased, scrambled = (apply(textured(), k, 1.0, generator()) for k in ("erasure", "texture"))
    smooth = gaussian_filter(image, 6)
    assert np.abs(erased - smooth).max() <= 1
    detail, random = image - smooth, scrambled - smooth
    assert abs(np.corrcoef(detail.ravel(), random.ravel())[0, 1]) < 0.1
    before, after = (np.abs(np.fft.rfft2(x)) for x in (detail, random))
    assert np.linalg.norm(after - before) < 0.05 * np.linalg.norm(before)


def test_shuffled_pixels_come_from_near_by() -> None:
    ramp = np.tile(np.arange(SIDE, dtype=np.uint8), (SIDE, 1))
    moved = apply(ramp, "shuffle", 2.0, generator()).astype(float) - ramp
    assert moved[:, 20:-20].std() == pytest.approx(2, rel=0.05)
    assert set(np.unique(apply(ramp, "shuffle", 2.0, generator()))) <= set(range(SIDE))


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_equal_generators_give_equal_images_of_any_side(kind: Corruption) -> None:
    for side in (32, 64, SIDE):
        first, again = (corrupt(textured(side=side), kind, 0.5, generator()) for _ in range(2))
        np.testing.assert_array_equal(first, again)
        assert first.shape == (side, side)
        assert first.dtype == np.uint8
