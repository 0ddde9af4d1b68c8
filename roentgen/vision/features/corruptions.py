"""Image corruptions of a known strength, which the embedded extractor is trained to see."""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from roentgen.imaging.images import decode, encode_jpeg
from roentgen.metrics.estimates import Floats

Image = NDArray[np.uint8]
Corruption = Literal["blur", "noise", "ringing", "jpeg", "erasure", "texture", "shuffle"]
CORRUPTIONS: tuple[Corruption, ...] = get_args(Corruption)
_SIDE = 128  # the side in pixels that lengths are given for; they grow with the image
# The parameter of each at strength 0 and 1; between them it changes by equal factors.
RANGES: dict[Corruption, tuple[float, float]] = {
    "blur": (0.3, 4.0),  # standard deviation of a Gaussian, pixels
    "noise": (2.0, 40.0),  # standard deviation of white noise, gray levels of 255
    "ringing": (0.9, 0.2),  # radius of an ideal low-pass, as a share of the Nyquist frequency
    "jpeg": (90.0, 5.0),  # quality
    "erasure": (0.08, 1.0),  # share of the image that is replaced by its smooth surroundings
    "texture": (0.08, 1.0),  # share of the image whose detail gets random phases
    "shuffle": (0.5, 5.0),  # standard deviation of each pixel's displacement, pixels
}
_DETAIL = 6.0  # standard deviation in pixels of the Gaussian above which structures are detail


def corrupt(
    image: Image, kind: Corruption, strength: float, generator: np.random.Generator
) -> Image:
    """A square gray image with a corruption; `strength` is in [0, 1], from mild to strong."""
    first, last = RANGES[kind]
    return apply(image, kind, first * (last / first) ** strength, generator)


def apply(image: Image, kind: Corruption, amount: float, generator: np.random.Generator) -> Image:
    """A square gray image with a corruption of an amount in the units of `RANGES`."""
    x = image.astype(np.float64)
    scale = len(image) / _SIDE
    match kind:
        case "blur":
            result = gaussian_filter(x, amount * scale)
        case "noise":
            result = x + generator.normal(0, amount, x.shape)
        case "ringing":
            result = _low_passed(x, amount)
        case "jpeg":
            return np.asarray(decode(encode_jpeg(image, round(amount))), np.uint8)
        case "erasure" | "texture":
            smooth = gaussian_filter(x, _DETAIL * scale)
            replaced = smooth if kind == "erasure" else smooth + _scrambled(x - smooth, generator)
            region = _region(len(x), amount, generator)
            result = x + region * (replaced - x)
        case "shuffle":
            result = _shuffled(x, amount * scale, generator)
    rounded: Image = result.round().clip(0, 255).astype(np.uint8)
    return rounded


def _low_passed(x: Floats, radius: float) -> Floats:
    """Without the spatial frequencies above a share of Nyquist's: edges ring (Gibbs).

    The image is mirrored at its ends, which would be edges otherwise.
    """
    side = len(x)
    spectrum = np.fft.rfft2(np.pad(x, ((0, side), (0, side)), mode="symmetric"))
    low = 2 * np.hypot(np.fft.fftfreq(2 * side)[:, None], np.fft.rfftfreq(2 * side)) <= radius
    return np.fft.irfft2(spectrum * low, s=(2 * side, 2 * side))[:side, :side]


def _scrambled(detail: Floats, generator: np.random.Generator) -> Floats:
    """Detail with the same power spectrum and random phases, those of white noise."""
    phases = np.angle(np.fft.rfft2(generator.standard_normal(detail.shape)))
    spectrum = np.abs(np.fft.rfft2(detail)) * np.exp(1j * phases)
    return np.fft.irfft2(spectrum, s=detail.shape)


def _region(side: int, share: float, generator: np.random.Generator) -> Floats:
    """Blobs that cover a share of a square, with soft margins: 1 inside, 0 outside."""
    scale = side / _SIDE
    field = gaussian_filter(generator.standard_normal((side, side)), 10 * scale, mode="wrap")
    inside = (field >= np.quantile(field, 1 - share)).astype(np.float64)
    soft: Floats = gaussian_filter(inside, 1.5 * scale)
    return soft


def _shuffled(x: Floats, deviation: float, generator: np.random.Generator) -> Floats:
    """Each pixel taken from a random place near its own."""
    side = len(x)
    places = np.indices(x.shape) + generator.normal(0, deviation, (2, side, side)).round()
    rows, columns = places.clip(0, side - 1).astype(np.int64)
    moved: Floats = x[rows, columns]
    return moved
