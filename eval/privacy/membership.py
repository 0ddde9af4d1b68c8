"""Membership inference: a model's denoising loss on each image, smaller for training images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from roentgen.dataset.image_set import Images
from roentgen.diffusion.components import Components
from roentgen.diffusion.conditions.conditions import Conditions
from roentgen.diffusion.denoiser import Denoiser
from roentgen.diffusion.noise_schedule import process_of
from roentgen.imaging.images import to_tensor
from roentgen.metrics.estimates import Floats
from roentgen.randomness import torch_generator

_BATCH = 8


@dataclass(frozen=True, kw_only=True)
class NoiseSettings:
    """The noise under which an image's loss is measured."""

    timesteps: Sequence[int]
    noises: int  # at each timestep
    seed: int


@torch.inference_mode()
def denoising_losses(
    components: Components,
    images: Images,
    conditions: Callable[[slice], Conditions],
    ids: Sequence[str],
    settings: NoiseSettings,
) -> Floats:
    """The model's mean squared error on each image (N,), over fixed timesteps and noises.

    `conditions` gives those of a slice of the images. The noise is a function of the image's id:
    nothing depends on the other images. Latents are the posterior's means. Members of the
    training set have smaller losses (Matsumoto et al. 2023).
    """
    device = components.unet.device
    denoiser = Denoiser(components)
    process = process_of(components.scheduler).to(device)
    result = np.empty(len(images))
    for first in range(0, len(images), _BATCH):
        rows = slice(first, min(first + _BATCH, len(images)))
        pixels = torch.stack([to_tensor(image) for image in images[rows]]).to(device)
        vae = components.vae
        latents = vae.encode(pixels).latent_dist.mean * vae.config.scaling_factor
        given = denoiser.encoded(conditions(rows).to(device))

        def predict(noisy: Tensor, timesteps: Tensor, given: Conditions = given) -> Tensor:
            predicted: Tensor = denoiser(noisy, timesteps, given)
            return predicted

        total = torch.zeros(len(latents), device=device)
        for timestep in settings.timesteps:
            timesteps = torch.full((len(latents),), timestep, device=device)
            for number in range(settings.noises):
                noises = [_noise(latents[0], settings.seed, i, timestep, number) for i in ids[rows]]
                total += process.losses(predict, latents, torch.stack(noises).to(device), timesteps)
        count = len(settings.timesteps) * settings.noises
        result[rows] = (total / count).double().cpu().numpy()
    return result


def _noise(like: Tensor, seed: int, identity: str, timestep: int, number: int) -> Tensor:
    generator = torch_generator(seed, "membership", identity, timestep, number)
    return torch.randn(like.shape, generator=generator)
