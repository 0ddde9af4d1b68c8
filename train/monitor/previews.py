"""Preview images of fixed prompts, drawn while training."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from roentgen.diffusion.components import Components
from roentgen.diffusion.conditions.prompt_encoding import PromptLimit, token_counts
from roentgen.diffusion.denoiser import Denoiser
from roentgen.diffusion.sampling.sampler import Sampler, SamplerSettings
from roentgen.errors import InputError
from roentgen.imaging.contact_sheet import contact_sheet
from roentgen.prompts.parser import split_view
from roentgen.randomness import derive_seed
from roentgen.record.views import VIEW_TOKENS
from train.config_sections import Attention, PreviewConfig
from train.engine.attention import attending
from train.engine.compiled_blocks import uncompiled
from train.engine.fsdp import reshard

if TYPE_CHECKING:
    from accelerate import Accelerator


PREVIEW_BATCH = 4  # beside the optimizer there is little memory left


@contextmanager
def evaluating(denoiser: Denoiser) -> Iterator[None]:
    """Within, the nets are in eval mode and no gradients are kept."""
    denoiser.eval()
    try:
        with torch.no_grad(), uncompiled(denoiser):
            yield
    finally:
        reshard(denoiser)
        denoiser.train()


@dataclass(frozen=True, kw_only=True)
class PreviewImage:
    """One picture of a preview."""

    prompt: str
    seed: int  # of its noise
    negative_prompt: None = None


def check_preview(config: PreviewConfig, components: Components) -> None:
    """Raise InputError for prompts that the model cannot read or steps it does not have."""
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


def preview(
    components: Components,
    denoiser: Denoiser,
    config: PreviewConfig,
    *,
    seed: int,
    attention: Attention,
    accelerator: "Accelerator",
) -> np.ndarray:
    """Pictures of the preview prompts by the live modules, a row a prompt: a contact sheet.

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
    sampler = Sampler(components, settings, accelerator.device, live=True)
    pictures: list[np.ndarray] = []
    with evaluating(denoiser), accelerator.autocast():
        for first in range(0, len(images), PREVIEW_BATCH):
            with attending(attention):
                latents = sampler.latents(images[first : first + PREVIEW_BATCH])
            for latent in torch.split(latents, 1):
                pictures.extend(sampler.decode(latent))
    return contact_sheet(pictures, [image.prompt for image in images], config.count)
