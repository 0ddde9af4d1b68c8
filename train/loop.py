"""The training loop: step, log, validate, preview, save."""

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from tqdm import tqdm

from roentgen.data.images import encode_png
from roentgen.errors import InputError
from roentgen.models.stable_diffusion import Parts
from roentgen.runs import write_file
from train.checkpoint import State, save_checkpoint
from train.config import FinetuneConfig
from train.draws import Draws, Plan, share
from train.examples import Examples
from train.log import RunLog
from train.loss import add_noise, item_losses, min_snr_weights, target
from train.optimizer import rate_factor, set_rates
from train.validation import held_out_loss, preview

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(kw_only=True)
class Training:
    """All that the loop works with."""

    config: FinetuneConfig
    accelerator: "Accelerator"
    parts: Parts
    state: State
    model: torch.nn.Module  # the denoiser, as accelerate wrapped it
    optimizer: Any  # the state's, as accelerate wrapped it
    examples: Examples
    plan: Plan
    held_out: tuple[Examples, Draws] | None
    prediction: str
    alpha_bars: Tensor  # [timesteps], float32, on the device
    identity: dict[str, Any]  # what a checkpoint must agree with to be resumed from

    @property
    def memory_format(self) -> torch.memory_format:
        """The layout of images and latents."""
        return torch.channels_last if self.config.channels_last else torch.contiguous_format


def train(training: Training) -> None:
    """Train from the state's step to the last."""
    t, config, state, accelerator = training, training.config, training.state, training.accelerator
    log = RunLog(config.output, accelerator, state.step)
    bar = tqdm(
        initial=state.step,
        total=config.steps,
        desc="train",
        unit="step",
        disable=not accelerator.is_local_main_process,
    )
    parameters = [weight for _, weight in state.denoiser.trained()]
    rank, ranks = accelerator.process_index, accelerator.num_processes
    slices = list(share(config.batch, rank, ranks, config.accumulation))
    summed = torch.zeros((), device=accelerator.device)
    since, began = 0, time.monotonic()
    t.model.train()
    while state.step < config.steps:
        # Step: this process's share of the batch, slice by slice.
        warmup, schedule = config.optimizer.warmup, config.optimizer.schedule
        factor = rate_factor(state.step, config.steps, warmup, schedule)
        set_rates(state.optimizer, factor)
        norm: float | Tensor = math.nan
        for places in slices:
            with accelerator.accumulate(t.model):
                loss = slice_loss(t, t.plan.draw(state.step, places))
                accelerator.backward(loss)
                if accelerator.sync_gradients:  # beyond an infinite limit lies no norm
                    limit = math.inf if config.optimizer.clip is None else config.optimizer.clip
                    norm = accelerator.clip_grad_norm_(parameters, limit)
                t.optimizer.step()
                t.optimizer.zero_grad(set_to_none=True)
            summed += loss.detach()
        if state.ema:
            state.ema.update(state.step)
        state.step += 1
        since += 1
        bar.update()
        last = state.step == config.steps

        # Look at the numbers: the only place that waits for the device.
        logs = _due(state.step, config.log_every, last)
        saves = _due(state.step, config.checkpoint.every, last)
        if logs or saves:
            mean = accelerator.reduce(summed, reduction="mean") / (since * len(slices))
            # In fp16 an infinite gradient is usual: that step is left out, the scale lowered.
            check_finite(state.step, float(mean), None if state.scaler else float(norm))

        # Log.
        if logs:
            rate = since * config.batch / (time.monotonic() - began)
            values = {"loss": float(mean), "images_per_second": rate, "rate_factor": factor}
            values["gradient_norm"] = float(norm)
            log.write(state.step, values)
            bar.set_postfix(loss=f"{values['loss']:.4f}")
            summed.zero_()
            since = 0

        # Validate, preview, save.
        if t.held_out and config.validation and _due(state.step, config.validation.every, last):
            losses = validate(t)
            log.write(state.step, losses)
            told = "  ".join(f"{name} {value:.4f}" for name, value in losses.items())
            bar.write(f"step {state.step}  {told}")
        if config.preview and _due(state.step, config.preview.every, last):
            draw_preview(t, log)
        if saves:
            if accelerator.is_main_process:
                folder = config.output / "checkpoints"
                save_checkpoint(folder, state, t.identity, config.checkpoint.keep)
            accelerator.wait_for_everyone()
        if since == 0:
            began = time.monotonic()
    bar.close()


def check_finite(step: int, loss: float, norm: float | None) -> None:
    """Raise InputError if the loss or the gradient's norm is not finite: no such state is saved."""
    for name, value in (("loss", loss), ("gradient's norm", norm)):
        if value is not None and not math.isfinite(value):
            raise InputError(
                f"the {name} is {value} at step {step}: lower the learning rate, or train in "
                "another precision; the checkpoints before are whole"
            )


def _due(step: int, every: int, last: bool) -> bool:
    return last or step % every == 0


def slice_loss(training: Training, draws: Draws) -> Tensor:
    """The mean weighted loss of one slice."""
    t = training
    batch = t.examples.batch(draws, t.accelerator.device, t.memory_format)
    alpha_bar = t.alpha_bars[batch.timesteps]
    noisy = add_noise(batch.latents, batch.noise, alpha_bar)
    predicted = t.model(noisy, batch.timesteps, batch.ids)
    wanted = target(t.prediction, batch.latents, batch.noise, alpha_bar)
    gamma = t.config.objective.min_snr
    weights = None if gamma is None else min_snr_weights(t.prediction, alpha_bar, gamma)
    return item_losses(predicted, wanted, weights).mean()


def validate(training: Training) -> dict[str, float]:
    """Held-out loss of the raw weights and of their average."""
    t = training
    assert t.held_out is not None
    examples, draws = t.held_out

    def loss() -> float:
        return held_out_loss(
            t.state.denoiser,
            examples,
            draws,
            prediction=t.prediction,
            alpha_bars=t.alpha_bars,
            accelerator=t.accelerator,
            memory_format=t.memory_format,
            batch=max(1, t.config.batch // (t.config.accumulation * t.accelerator.num_processes)),
        )

    losses = {"held_out_loss": loss()}
    if t.state.ema:
        with t.state.ema.applied():
            losses["held_out_loss_ema"] = loss()
    return losses


def draw_preview(training: Training, log: RunLog) -> None:
    """A contact sheet of the preview prompts into previews/, on the main process."""
    t, ema = training, training.state.ema
    assert t.config.preview is not None
    if t.accelerator.is_main_process:
        arguments = (t.parts, t.state.denoiser, t.config.preview, t.config.seed, t.accelerator)
        if ema:
            with ema.applied():
                sheet = preview(*arguments)
        else:
            sheet = preview(*arguments)
        path = t.config.output / "previews" / f"step-{t.state.step:08d}.png"
        path.parent.mkdir(exist_ok=True)
        write_file(path, encode_png(sheet))
        log.image(t.state.step, "preview", sheet)
    t.accelerator.wait_for_everyone()
