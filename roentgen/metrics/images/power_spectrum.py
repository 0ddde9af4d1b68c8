"""Radial power spectrum of an image: where its detail lies between coarse and fine."""

import numpy as np
from numpy.typing import NDArray

from roentgen.metrics.estimates import Floats

# Upper ends of the bands in cycles per pixel: octaves, and all above a quarter in the last.
BAND_ENDS = (1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, np.inf)
_TINY = 1e-12  # the least share of a band, so that its logarithm is finite


def band_shares(images: NDArray[np.uint8]) -> Floats:
    """(N, bands): each band's share of an image's power, of square (N, H, H) images.

    Of the periodogram under a Hann window, which suppresses the edges that a periodic continuation
    of the image would have. The mean is subtracted first, and shares are of all power, so they are
    independent of brightness and contrast; they sum to 1. NaN for an image without contrast.
    """
    side = images.shape[1]
    window = np.hanning(side + 2)[1:-1]
    window = np.outer(window, window)
    x = images.astype(np.float64)
    mean = (x * window).sum(axis=(1, 2), keepdims=True) / window.sum()
    power = np.abs(np.fft.rfft2((x - mean) * window)) ** 2
    radius = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side))
    # Frequencies between 0 and the last column are there once, for two that are conjugate.
    twice = np.full(power.shape[2], 2.0)
    twice[0] = 1.0
    if side % 2 == 0:
        twice[-1] = 1.0
    power *= twice
    band = np.searchsorted(BAND_ENDS, radius, side="left").ravel()
    flat = power.reshape(len(x), -1)
    sums = np.stack([flat[:, band == k].sum(axis=1) for k in range(len(BAND_ENDS))], axis=1)
    total = sums.sum(axis=1, keepdims=True)
    has_contrast = x.std(axis=(1, 2))[:, None] > 0
    shares: Floats = np.divide(sums, total, out=np.full_like(sums, np.nan), where=has_contrast)
    return shares


def decibels(shares: Floats) -> Floats:
    """Shares of power in decibels, those of empty bands as of 1e-12."""
    result: Floats = 10 * np.log10(np.maximum(shares, _TINY))
    return result
