"""Radial power spectra of images whose spectrum is known."""

import numpy as np
import pytest

from roentgen.metrics.images.power_spectrum import BAND_ENDS, band_shares, decibels

SIDE = 128


def wave(cycles: float, amplitude: float = 80.0) -> np.ndarray:
    x = np.arange(SIDE) * np.ones((SIDE, 1))
    image = 128 + amplitude * np.cos(2 * np.pi * cycles * x / SIDE)
    result: np.ndarray = image.round().astype(np.uint8)
    return result


def radii() -> np.ndarray:
    """Of all frequencies but the mean's."""
    f = np.fft.fftfreq(SIDE)
    result: np.ndarray = np.hypot(f[:, None], f).ravel()[1:]
    return result


@pytest.mark.parametrize(("cycles", "band"), [(6, 2), (12, 3), (24, 4), (48, 5)])
def test_a_wave_lies_in_its_octave(cycles: int, band: int) -> None:
    (shares,) = band_shares(wave(cycles)[None])
    assert shares[band] > 0.97
    assert shares.sum() == pytest.approx(1)


def test_two_waves_share_the_power_by_the_square_of_their_amplitudes() -> None:
    image = wave(12, 60).astype(float) + wave(48, 30) - 128
    (shares,) = band_shares(image.astype(np.uint8)[None])
    assert shares[3] == pytest.approx(0.8, abs=0.01)
    assert shares[5] == pytest.approx(0.2, abs=0.01)


def test_white_noise_has_power_by_the_number_of_frequencies() -> None:
    noise = np.random.default_rng(0).normal(128, 25, (60, SIDE, SIDE))
    found = band_shares(noise.round().clip(0, 255).astype(np.uint8)).mean(axis=0)
    counts = np.bincount(np.searchsorted(BAND_ENDS, radii()), minlength=len(BAND_ENDS))
    np.testing.assert_allclose(found[2:], counts[2:] / counts.sum(), rtol=0.04)


@pytest.mark.parametrize("sigma", [0.5, 1.0])
def test_a_gaussian_blur_multiplies_the_power_by_its_transfer_function(sigma: float) -> None:
    spectrum = np.fft.fft2(np.random.default_rng(1).normal(0, 1, (60, SIDE, SIDE)))
    f = np.fft.fftfreq(SIDE)
    transfer = np.exp(-2 * (np.pi * sigma) ** 2 * (f[:, None] ** 2 + f**2))
    blurred = np.fft.ifft2(spectrum * transfer).real
    images = (128 + 25 * blurred / blurred.std()).round().clip(0, 255).astype(np.uint8)
    power = np.exp(-4 * (np.pi * sigma * radii()) ** 2)
    expected = np.bincount(np.searchsorted(BAND_ENDS, radii()), weights=power, minlength=6)
    found = band_shares(images).mean(axis=0)
    np.testing.assert_allclose(found[2:], (expected / power.sum())[2:], rtol=0.04, atol=0.002)


def test_brightness_and_contrast_do_not_matter() -> None:
    noise = np.random.default_rng(2).integers(60, 120, (1, SIDE, SIDE)).astype(np.uint8)
    np.testing.assert_allclose(band_shares(2 * noise + 10), band_shares(noise), rtol=1e-6)


def test_an_image_without_contrast_has_no_spectrum() -> None:
    assert np.isnan(band_shares(np.full((1, 32, 32), 7, np.uint8))).all()
    assert decibels(np.array([0.0, 0.1, 1.0])).tolist() == [-120, -10, 0]
