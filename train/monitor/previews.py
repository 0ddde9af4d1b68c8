"""Images drawn while training, by the weights of that moment; previews of fixed prompts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice, repeat

import numpy as np
from numpy.typing import NDArray

from roentgen.diffusion.components import Components
from roentgen.diffusion.conditions.conditions import Conditions
from roentgen.diffusion.conditions.prompt_encoding import PromptLimit, token_counts
from roentgen.diffusion.denoiser import Denoiser
from roentgen.diffusion.sampling.sampler import Drawable, Sampler
from roentgen.diffusion.sampling.settings import SamplerSettings
from roentgen.errors import InputError
from roentgen.imaging.contact_sheet import contact_sheet, side_by_side
from roentgen.prompts.captions import prompt_caption
from roentgen.prompts.parser import split_view
from roentgen.randomness import derive_seed
from roentgen.record.radiograph import VIEW_TOKENS
from train.config_sections import PreviewConfig
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
        """Images [N, H, W], drawn from prompts and from each one's other conditions.

        Raises InputError for an image that is not finite, without autocast too.
        """
        settings = replace(settings, decode_batch_size=1)
        sampler = Sampler(self.components, settings, self.runtime.device, live=True)
        given = repeat(Conditions()) if conditions is None else iter(conditions)
        pixels: list[np.ndarray] = []
        with evaluating(self.denoiser), self.runtime.accelerator.autocast():
            for first in range(0, len(images), BATCH):
                batch = images[first : first + BATCH]
                of_batch = list(islice(given, len(batch)))
                with attention_kernel(self.runtime.attention):
                    latents = sampler.latents(batch, Conditions.joined(of_batch))
                pixels.extend(sampler.pictures(latents, batch, of_batch))
        return np.stack(pixels)


@dataclass(frozen=True, kw_only=True)
class PreviewImage:
    """One image of a preview."""

    prompt: str
    seed: int  # of its noise
    negative_prompt: None = None


def check_preview(config: PreviewConfig, components: Components) -> None:
    """Raises InputError for prompts that the model cannot read or steps it does not have."""
    vocabulary = components.tokenizer.get_vocab()
    for number, prompt in enumerate(config.prompts):
        where = f"preview.prompts[{number}]"
        try:
            view, _ = split_view(prompt)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
        if view and VIEW_TOKENS[view] not in vocabulary:
            raise InputError(
                f"{where} names a view, but the prompts trained on do not: leave it out"
            )
    limit = PromptLimit(components.tokenizer, components.prompt_chunks)
    counts = token_counts(components.tokenizer, config.prompts)
    limit.check(counts, lambda number: f"preview.prompts[{number}]", "shorten it")
    levels = components.scheduler.config.num_train_timesteps
    if config.steps >= levels:
        raise InputError(
            f"preview.steps is {config.steps}, but the model knows {levels} levels of noise"
        )


def preview(live: LiveModel, config: PreviewConfig, seed: int) -> np.ndarray:
    """A contact sheet of the preview prompts by the live model, the images of each side by side.

    The noise is a function of (seed, prompt, number): previews of different steps compare.
    """
    images = [
        PreviewImage(prompt=prompt, seed=derive_seed(seed, "preview", prompt, number))
        for prompt in config.prompts
        for number in range(config.count)
    ]
    settings = SamplerSettings(
        scheduler="DPM-Solver++",  # for any noise schedule
        steps=config.steps,
        guidance_scale=config.guidance_scale,
    )
    drawn = live.images(images, settings)
    tiles = drawn.reshape(len(config.prompts), config.count, *drawn.shape[1:])
    return contact_sheet(list(map(side_by_side, tiles)), list(map(prompt_caption, config.prompts)))
