"""What training is judged by: the held-out loss at fixed draws, and pictures."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from roentgen.diffusion.backbones.stable_diffusion import Parts
from roentgen.diffusion.conditions.prompt_encoding import token_counts, token_limit
from roentgen.diffusion.denoiser import Denoiser
from roentgen.diffusion.objective import add_noise, item_losses, target
from roentgen.diffusion.sampling.sampler import Sampler, SamplerSettings
from roentgen.errors import InputError
from roentgen.imaging.contact_sheet import contact_sheet
from roentgen.prompts.grammar import split_view
from roentgen.randomness import derive_seed
from roentgen.record.views import VIEW_TOKENS
from train.config_sections import Attention, PreviewConfig
from train.engine.attention import attending
from train.engine.compiled_blocks import uncompiled
from train.engine.fsdp import reshard
from train.loading.batches import Examples
from train.loading.draws import Draws

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


def held_out_loss(
    denoiser: Denoiser,
    examples: Examples,
    draws: Draws,
    *,
    prediction: str,
    alpha_bars: Tensor,
    attention: Attention,
    accelerator: "Accelerator",
    memory_format: torch.memory_format,
    batch: int,
) -> float:
    """The mean unweighted loss over all drawn items, shared out over the processes."""
    total = torch.zeros(2, dtype=torch.float64)
    count, rank, ranks = len(draws.items), accelerator.process_index, accelerator.num_processes
    places = range(rank, count, ranks)
    with evaluating(denoiser):
        # As many batches on each process, as shards are gathered: the last may be empty.
        for first in range(0, -(-count // ranks), batch):
            mine = list(places[first : first + batch])
            chunk = _subset(draws, mine or [0])
            given = examples.batch(chunk, memory_format).to(accelerator.device)
            alpha_bar = alpha_bars[given.timesteps]
            noisy = add_noise(given.latents, given.noise, alpha_bar)
            with accelerator.autocast(), attending(attention):
                said = denoiser(noisy, given.timesteps, given.prompts, given.conditions)
            wanted = target(prediction, given.latents, given.noise, alpha_bar)
            losses = item_losses(said, wanted, None)[: len(mine)].double().cpu()
            total += torch.stack([losses.sum(), torch.tensor(float(len(losses))).double()])
    summed: Tensor = accelerator.reduce(total.to(accelerator.device), reduction="sum")
    return float(summed[0] / summed[1])


def _subset(draws: Draws, places: list[int]) -> Draws:
    return Draws(
        items=draws.items[places],
        variants=draws.variants[places],
        styles=draws.styles[places],
        dropped=draws.dropped[places],
        hidden=draws.hidden[places],
        timesteps=draws.timesteps[places],
        posterior_noise=draws.posterior_noise[places],
        noise=draws.noise[places],
    )


@dataclass(frozen=True, kw_only=True)
class PreviewImage:
    """One picture of a preview."""

    prompt: str
    seed: int  # of its noise
    negative_prompt: None = None


def check_preview(config: PreviewConfig, parts: Parts) -> None:
    """Raise InputError for prompts that the model cannot read or steps it does not have."""
    vocabulary = parts.tokenizer.get_vocab()
    limit = token_limit(parts.tokenizer, parts.prompt_chunks)
    counts = token_counts(parts.tokenizer, config.prompts)
    for number, (prompt, count) in enumerate(zip(config.prompts, counts, strict=True)):
        where = f"preview.prompts[{number}]"
        try:
            view, _ = split_view(prompt)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
        if view and VIEW_TOKENS[view] not in vocabulary:
            raise InputError(
                f"{where} names a view, but the prompts trained on do not: leave it out"
            )
        if count > limit:
            raise InputError(f"{where} has {count} tokens, allowed are {limit}: shorten it")
    levels = parts.scheduler.config.num_train_timesteps
    if config.steps >= levels:
        raise InputError(
            f"preview.steps is {config.steps}, but the model knows {levels} levels of noise"
        )


def preview(
    parts: Parts,
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
    sampler = Sampler(parts, settings, accelerator.device, live=True)
    pictures: list[np.ndarray] = []
    with evaluating(denoiser), accelerator.autocast():
        for first in range(0, len(images), PREVIEW_BATCH):
            with attending(attention):
                latents = sampler.latents(images[first : first + PREVIEW_BATCH])
            for latent in torch.split(latents, 1):
                pictures.extend(sampler.decode(latent))
    return contact_sheet(pictures, [image.prompt for image in images], config.count)
