"""VAE reconstructions of images, and their peak signal-to-noise ratio."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from roentgen.imaging.images import from_tensor, to_tensor

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

Images = npt.NDArray[np.uint8]
_MOST = 168.0  # dB


@torch.inference_mode()
def reconstruct(vae: "AutoencoderKL", images: Images, batch: int = 16) -> Iterator[Images]:
    """Decode the posterior's mean of each image [N, H, W]; yields [H, W]."""
    for start in range(0, len(images), batch):
        pixels = torch.stack([to_tensor(image) for image in images[start : start + batch]])
        pixels = pixels.to(vae.device).contiguous(memory_format=torch.channels_last)
        decoded = vae.decode(vae.encode(pixels).latent_dist.mean).sample
        yield from from_tensor(decoded.clamp(-1, 1).cpu())


def psnr(images: Images, others: Images) -> npt.NDArray[np.float64]:
    """Peak signal-to-noise ratio in dB of each pair of [N, H, W], peak 255, by torchmetrics.

    168 for equal images, whose ratio is infinite, which JSON is not.
    """
    from torchmetrics.functional.image import peak_signal_noise_ratio

    pair = (torch.from_numpy(x.astype(np.float64)) for x in (others, images))
    ratio = peak_signal_noise_ratio(*pair, data_range=255.0, reduction="none", dim=(1, 2))
    decibel: npt.NDArray[np.float64] = ratio.clamp(max=_MOST).numpy()
    return decibel
