"""Live model: images by the weights as they are while training."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray

from roentgen.diffusion.components import Components
from roentgen.diffusion.conditions.conditions import Conditions
from roentgen.diffusion.denoiser import Denoiser
from roentgen.diffusion.sampling.sampler import Drawable, Sampler, SamplerSettings
from train.engine.attention import attention_kernel
from train.engine.runtime import Runtime, evaluating

BATCH = 4  # images drawn together: beside the optimizer there is little memory left


@dataclass(frozen=True, kw_only=True)
class LiveModel:
    """A model that is training."""

    components: Components
    denoiser: Denoiser
    runtime: Runtime

    def images(
        self,
        images: Sequence[Drawable],
        settings: SamplerSettings,
        conditions: Iterable[Conditions] | None = None,
    ) -> NDArray[np.uint8]:
        """Images [N, H, W], drawn from prompts and from each one's other conditions."""
        sampler = Sampler(self.components, settings, self.runtime.device, live=True)
        given = None if conditions is None else iter(conditions)
        pixels: list[np.ndarray] = []
        with evaluating(self.denoiser), self.runtime.accelerator.autocast():
            for first in range(0, len(images), BATCH):
                batch = images[first : first + BATCH]
                joined = None
                if given is not None:
                    joined = Conditions.joined(list(islice(given, len(batch))))
                with attention_kernel(self.runtime.attention):
                    latents = sampler.latents(batch, joined)
                for latent in torch.split(latents, 1):
                    pixels.extend(sampler.decode(latent))
        return np.stack(pixels)
