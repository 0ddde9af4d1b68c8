"""What training is judged by: the held-out loss at fixed draws, and pictures."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from roentgen.diffusion.denoiser import Denoiser
from roentgen.diffusion.objective import DiffusionProcess
from train.config_sections import Attention
from train.engine.attention import attending
from train.loading.batches import Batch, Examples
from train.loading.draws import Draws
from train.monitor.previews import evaluating

if TYPE_CHECKING:
    from accelerate import Accelerator


def held_out_loss(
    denoiser: Denoiser,
    examples: Examples,
    draws: Draws,
    *,
    process: DiffusionProcess,
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

            def predict(noisy: Tensor, timesteps: Tensor, given: Batch = given) -> Tensor:
                with accelerator.autocast(), attending(attention):
                    predicted: Tensor = denoiser(noisy, timesteps, given.conditions)
                return predicted

            losses = process.losses(predict, given.latents, given.noise, given.timesteps)
            losses = losses[: len(mine)].double().cpu()
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
