"""Validation: the loss on held-out images at fixed draws."""

import torch
from torch import Tensor

from roentgen.diffusion.denoiser import Denoiser
from roentgen.diffusion.objective import DiffusionProcess
from train.engine.runtime import Runtime, evaluating
from train.loading.batches import Batch, HeldOut


def held_out_loss(
    denoiser: Denoiser, held_out: HeldOut, process: DiffusionProcess, runtime: Runtime, batch: int
) -> float:
    """The mean unweighted loss over all drawn items, shared out over the processes."""
    accelerator = runtime.accelerator
    total = torch.zeros(2, dtype=torch.float64)
    count, rank, ranks = len(held_out.draws), accelerator.process_index, accelerator.num_processes
    places = range(rank, count, ranks)
    with evaluating(denoiser):
        # As many batches on each process, as shards are gathered: the last may be empty.
        for first in range(0, -(-count // ranks), batch):
            mine = list(places[first : first + batch])
            draws = held_out.draws[mine or [0]]
            given = held_out.examples.batch(draws, runtime.memory_format).to(runtime.device)

            def predict(noisy: Tensor, timesteps: Tensor, given: Batch = given) -> Tensor:
                with runtime.precision_and_attention():
                    predicted: Tensor = denoiser(noisy, timesteps, given.conditions)
                return predicted

            losses = process.losses(predict, given.latents, given.noise, given.timesteps)
            losses = losses[: len(mine)].double().cpu()
            total += torch.stack([losses.sum(), torch.tensor(float(len(losses))).double()])
    summed: Tensor = accelerator.reduce(total.to(runtime.device), reduction="sum")
    return float(summed[0] / summed[1])
