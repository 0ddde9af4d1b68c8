"""What training is judged by: the held-out loss at fixed draws, and pictures."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from roentgen.data.images import from_tensor
from roentgen.data.sheet import contact_sheet
from roentgen.models.conditioning import encode_prompts
from roentgen.models.stable_diffusion import Parts, pipeline_of
from roentgen.randomness import torch_generator
from train.config import PreviewConfig
from train.denoiser import Denoiser
from train.draws import Draws
from train.examples import Examples
from train.loss import add_noise, item_losses, target

if TYPE_CHECKING:
    from accelerate import Accelerator


@contextmanager
def evaluating(denoiser: Denoiser) -> Iterator[None]:
    """Within, the nets are in eval mode and no gradients are kept."""
    denoiser.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        denoiser.train()


def held_out_loss(
    denoiser: Denoiser,
    examples: Examples,
    draws: Draws,
    *,
    prediction: str,
    alpha_bars: Tensor,
    accelerator: "Accelerator",
    memory_format: torch.memory_format,
    batch: int,
) -> float:
    """The mean unweighted loss over all drawn items, shared out over the processes."""
    total = torch.zeros(2, dtype=torch.float64)
    places = range(accelerator.process_index, len(draws.items), accelerator.num_processes)
    with evaluating(denoiser):
        for first in range(0, len(places), batch):
            chunk = _subset(draws, list(places[first : first + batch]))
            given = examples.batch(chunk, accelerator.device, memory_format)
            alpha_bar = alpha_bars[given.timesteps]
            noisy = add_noise(given.latents, given.noise, alpha_bar)
            with accelerator.autocast():
                said = denoiser(noisy, given.timesteps, given.ids)
            wanted = target(prediction, given.latents, given.noise, alpha_bar)
            losses = item_losses(said, wanted, None).double().cpu()
            total += torch.stack([losses.sum(), torch.tensor(float(len(losses))).double()])
    summed: Tensor = accelerator.reduce(total.to(accelerator.device), reduction="sum")
    return float(summed[0] / summed[1])


def _subset(draws: Draws, places: list[int]) -> Draws:
    return Draws(
        items=draws.items[places],
        styles=draws.styles[places],
        dropped=draws.dropped[places],
        timesteps=draws.timesteps[places],
        posterior_noise=draws.posterior_noise[places],
        noise=draws.noise[places],
    )


def preview(
    parts: Parts, denoiser: Denoiser, config: PreviewConfig, seed: int, accelerator: "Accelerator"
) -> np.ndarray:
    """Pictures of the preview prompts by the live modules, a row a prompt: a contact sheet.

    The noise is a function of (seed, prompt, number): previews of different steps compare.
    """
    from diffusers import DPMSolverMultistepScheduler

    prompts = [prompt for prompt in config.prompts for _ in range(config.count)]
    side = parts.unet.config.sample_size
    latents = torch.stack(
        [
            torch.randn(
                parts.unet.config.in_channels,
                side,
                side,
                generator=torch_generator(seed, "preview", prompt, number % config.count),
            )
            for number, prompt in enumerate(prompts)
        ]
    )
    scheduler = DPMSolverMultistepScheduler.from_config(parts.scheduler.config)
    with evaluating(denoiser), accelerator.autocast():
        pipeline = pipeline_of(parts)
        pipeline.scheduler = scheduler
        pipeline.set_progress_bar_config(disable=True)
        texts = encode_prompts(parts.tokenizer, parts.text_encoder, prompts)
        empty = encode_prompts(parts.tokenizer, parts.text_encoder, [""]).expand_as(texts)
        images = pipeline(
            prompt_embeds=texts,
            negative_prompt_embeds=empty,
            latents=latents.to(accelerator.device),
            guidance_scale=config.guidance_scale,
            num_inference_steps=config.steps,
            output_type="pt",
        ).images  # NCHW in [0, 1]
    return contact_sheet(list(from_tensor(images * 2 - 1)), prompts, config.count)
