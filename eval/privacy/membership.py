"""Whether a model tells the films that it was trained on from others, by its loss on them."""

from collections.abc import Sequence

import numpy as np
import torch
from diffusers import DDPMScheduler
from torch import Tensor

from roentgen.dataset.image_set import Images
from roentgen.diffusion.components import Components
from roentgen.diffusion.conditions.prompt_encoding import TooLong, encode_prompts
from roentgen.imaging.images import to_tensor
from roentgen.metrics.estimates import Floats
from roentgen.randomness import torch_generator

_BATCH = 8


@torch.inference_mode()
def denoising_losses(
    components: Components,
    images: Images,
    prompts: Sequence[str],
    ids: Sequence[str],
    *,
    timesteps: Sequence[int],
    noises: int,
    seed: int,
    too_long: TooLong,
) -> Floats:
    """The model's mean squared error on each image (N,) at these timesteps, under fixed noises.

    The noise is drawn from the image's id: nothing depends on which images stand beside it. Latents
    are the posterior's means. Members of the training set have smaller losses (Matsumoto et al.
    2023).
    """
    schedule = DDPMScheduler.from_config(components.scheduler.config)
    device = components.unet.device
    result = np.empty(len(images))
    for first in range(0, len(images), _BATCH):
        rows = slice(first, min(first + _BATCH, len(images)))
        pixels = torch.stack([to_tensor(image) for image in images[rows]]).to(device)
        latents = (
            components.vae.encode(pixels).latent_dist.mean * components.vae.config.scaling_factor
        )
        states = encode_prompts(components, prompts[rows], too_long=too_long)
        total = torch.zeros(len(latents), device=device)
        for timestep in timesteps:
            for number in range(noises):
                noise = torch.stack(
                    [_noise(latents[0], seed, one, timestep, number) for one in ids[rows]]
                ).to(device)
                total += _loss(components, schedule, latents, noise, states, timestep)
        result[rows] = (total / (len(timesteps) * noises)).double().cpu().numpy()
    return result


def _noise(like: Tensor, seed: int, identity: str, timestep: int, number: int) -> Tensor:
    generator = torch_generator(seed, "membership", identity, timestep, number)
    return torch.randn(like.shape, generator=generator)


def _loss(
    components: Components,
    schedule: DDPMScheduler,
    latents: Tensor,
    noise: Tensor,
    states: Tensor,
    timestep: int,
) -> Tensor:
    steps = torch.full((len(latents),), timestep, device=latents.device)
    noisy = schedule.add_noise(latents, noise, steps)
    predicted = components.unet(noisy, steps, states, return_dict=False)[0]
    wanted = noise
    if schedule.config.prediction_type == "v_prediction":
        wanted = schedule.get_velocity(latents, noise, steps)
    error: Tensor = (predicted - wanted).square().mean(dim=(1, 2, 3))
    return error
