"""Training crops of the VAE, a share of them altered so that it generalizes.

Altered crops are rescaled, changed in contrast and overlaid with 1/f texture.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from roentgen.diffusion.vae import Images
from roentgen.randomness import numpy_generator
from train.vae.config import AutoencoderConfig


def crop_batches(images: Images, config: AutoencoderConfig, first: int) -> Iterator[torch.Tensor]:
    """Batches [B, 3, crop, crop] in [-1, 1] from step `first` on, functions of (seed, step)."""
    phases = [phase for phase in config.phases for _ in range(phase.steps)]  # of each step
    for step in range(first, len(phases)):
        phase, rng = phases[step], numpy_generator(config.seed, "batch", step)
        chosen = rng.integers(len(images), size=phase.batch_size)
        crops = [_crop(rng, images[k], phase.crop, config.altered_share) for k in chosen]
        yield gray_input(torch.from_numpy(np.stack(crops)))


def gray_input(gray: torch.Tensor) -> torch.Tensor:
    """Gray [N, H, W] to three equal channels, channels last."""
    return gray[:, None].repeat(1, 3, 1, 1).contiguous(memory_format=torch.channels_last)


def _crop(
    rng: np.random.Generator, image: Images, size: int, altered_share: float
) -> npt.NDArray[np.float32]:
    """A random square of one image, float32 in [-1, 1]; a share of them is altered."""
    altered = rng.random() < altered_share
    side = min(round(size * (rng.uniform(0.6, 1.6) if altered else 1)), image.shape[0])
    top, left = rng.integers(image.shape[0] - side + 1, size=2)
    square = torch.from_numpy(image[top : top + side, left : left + side].copy()).float() / 127.5
    if side != size:
        square = torch.nn.functional.interpolate(
            square[None, None], size=(size, size), mode="bilinear", antialias=True
        )[0, 0]
    crop = square.numpy() - 1
    if altered:
        crop = crop * rng.uniform(0.6, 1.2) + rng.uniform(-0.3, 0.3)
        crop = crop + rng.uniform(0, 0.25) * _texture(rng, size, rng.uniform(0.8, 1.8))
        crop = np.clip(crop, -1, 1)
    return crop.astype(np.float32)


def _texture(rng: np.random.Generator, size: int, slope: float) -> npt.NDArray[np.float64]:
    """Noise whose amplitude falls as 1/f^slope, as in natural images; unit variance."""
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((size, size))) / frequency**slope
    field = np.fft.irfft2(spectrum, (size, size))
    return np.asarray(field / field.std())
