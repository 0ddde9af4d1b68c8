"""The training loop: step, log, validate, preview, save."""

import math
import time
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from roentgen.diffusion.components import Components
from roentgen.diffusion.objective import DiffusionProcess
from roentgen.imaging.images import encode_png
from roentgen.preparation.filtered_split import FilteredSplit
from roentgen.storage import write_file
from roentgen.terminal.progress import Progress
from train.checkpoints.checkpoint import TrainingState
from train.checkpoints.saver import CheckpointSaver, warn_if_unwritable
from train.checkpoints.stop_signals import StopFlag, StopSignals
from train.config import RunConfig
from train.config_sections import PreviewConfig
from train.engine.attention import attention_kernel
from train.engine.fsdp import is_sharding
from train.engine.runtime import Runtime, evaluating
from train.loading.batches import Batch, Examples, HeldOut
from train.loading.draws import DrawPlan, share
from train.loading.prefetch import Prefetched, prefetched
from train.monitor.mask_fidelity import MaskFidelityMonitor, save_if_best
from train.monitor.metrics_log import MetricsLog, Throughput
from train.monitor.previews import LiveModel, preview
from train.optim.ema import save_snapshots
from train.optim.nonfinite import NonfiniteGuard, SkippedStep, skip_message, step_if_finite
from train.optim.optimizer import rate_factor, set_rates


@dataclass(kw_only=True)
class TrainingRun:
    """All that the loop works with."""

    config: RunConfig
    runtime: Runtime
    components: Components
    state: TrainingState
    model: torch.nn.Module  # the denoiser, as accelerate wrapped it
    optimizer: Any  # the state's, as accelerate wrapped it
    split: FilteredSplit  # the training split
    examples: Examples
    plan: DrawPlan
    held_out: HeldOut | None
    mask_fidelity: MaskFidelityMonitor | None = None  # of a ControlNet
    process: DiffusionProcess  # on the device
    saver: CheckpointSaver
    stop: StopSignals

    @property
    def accelerator(self) -> Accelerator:
        """The accelerator of this process."""
        return self.runtime.accelerator

    @property
    def live(self) -> LiveModel:
        """The model with its weights of this moment."""
        return LiveModel(
            components=self.components, denoiser=self.state.denoiser, runtime=self.runtime
        )


def train(training: TrainingRun) -> None:
    """Train from the state's step to the last; batches are prepared in the background."""
    t, accelerator = training, training.accelerator
    shares = (t.config.batch_size, accelerator.process_index, accelerator.num_processes)
    slices = list(share(*shares, t.config.gradient_accumulation))
    jobs = ((step, places) for step in range(t.state.step, t.config.steps) for places in slices)

    def make(job: tuple[int, range]) -> Batch:
        batch = t.examples.batch(t.plan.draw(*job), t.runtime.memory_format)
        return batch.pinned() if accelerator.device.type == "cuda" else batch

    with prefetched(jobs, make) as batches, t.stop.deferred() as stop_flag:
        take_steps(training, batches, stop_flag)


def take_steps(training: TrainingRun, batches: Prefetched[Batch], stop_flag: StopFlag) -> None:
    """Take all steps that remain, each on its share of `batches`."""
    t, config, state, accelerator = training, training.config, training.state, training.accelerator
    log = MetricsLog(config, accelerator, state.step)
    shown = accelerator.is_local_main_process
    bar = Progress(config.steps, "train", "step", done=state.step, shown=shown)
    parameters = [weight for _, weight in state.denoiser.trained()]
    # No norm exceeds an infinite limit.
    limit = math.inf if config.optimizer.clip is None else config.optimizer.clip
    guard = NonfiniteGuard(state.skips, accelerator)
    throughput = Throughput(config.batch_size, state.step, accelerator.device)
    t.model.train()
    while state.step < config.steps:
        # Step: this process's share of the batch, slice by slice.
        warmup, schedule = config.optimizer.warmup, config.optimizer.schedule
        factor = rate_factor(state.step, config.steps, warmup, schedule)
        set_rates(state.optimizer, factor)
        for _ in range(config.gradient_accumulation):
            batch = batches.take().to(accelerator.device)
            with accelerator.accumulate(t.model), attention_kernel(config.attention):
                # Checkpointing attends in the backward pass too.
                losses = slice_losses(t, batch)
                accelerator.backward(guard.loss(losses))
        norm = accelerator.clip_grad_norm_(parameters, limit)
        finite = guard.check(state.step, norm)
        step_if_finite(t.optimizer, finite)
        t.optimizer.zero_grad()
        for average in (state.ema, state.posthoc):
            if average:
                average.update(state.step, finite)
        state.step += 1
        bar.update()
        last = state.step == config.steps
        stops = stop_flag.exchange(t.stop.received)

        # Look at the numbers: the only place that waits for the device.
        logs = _due(state.step, config.log_every, last)
        saves = stops or _due(state.step, config.checkpoint.every, last)
        if logs or saves:
            for skipped in guard.skipped_steps():
                report_skipped(t, log, bar, skipped)
            guard.check_limit(config.optimizer.max_skipped_steps)

        # Log.
        if logs:
            values = guard.log_values() | {"rate_factor": factor}
            speed = throughput.log_values(state.step, batches.waited)
            log.write(state.step, {"train": values, "speed": speed})
            bar.note(f"loss {values.get('loss', math.nan):.4f}")

        # Validate, preview, save: no part of the throughput.
        paused = time.monotonic()
        if t.held_out and config.validation and _due(state.step, config.validation.every, last):
            held_out = validate(t)
            log.write(state.step, {"validation": held_out})
            losses_line = "  ".join(f"{name} {value:.4f}" for name, value in held_out.items())
            bar.write(f"step {state.step}  {losses_line}")
        pictures = config.previews()
        if pictures and _due(state.step, pictures.every, last):
            draw_preview(t, pictures, log)
        if t.mask_fidelity and _due(state.step, t.mask_fidelity.config.every, last):
            bar.write(f"step {state.step}  {measure_mask_fidelity(t, log)}")
        # Averages first: a run that resumes from the checkpoint does not repeat this step.
        posthoc = config.ema and config.ema.posthoc
        if posthoc and state.posthoc and _due(state.step, posthoc.every, last):
            folder, main = config.output / "averages", accelerator.is_main_process
            with warn_if_unwritable(f"the averages of step {state.step}"):
                save_snapshots(folder, state.step, state.posthoc, main=main)
            accelerator.wait_for_everyone()
        if saves:
            started = time.monotonic()
            saved = t.saver.save(state, required=last or stops)
            seconds = time.monotonic() - started
            numbers = {"save_seconds": seconds} if saved else {"failed_saves": t.saver.failed}
            log.write(state.step, {"checkpoints": numbers})
        if stops:
            bar.close()
            t.stop.end(state.step, accelerator)
        throughput.pause(time.monotonic() - paused)
    bar.close()


def report_skipped(
    training: TrainingRun, log: MetricsLog, bar: Progress, skipped: SkippedStep
) -> None:
    """Name the items of a step that was left out, in the log and on the terminal."""
    t, first = training, skipped.step * training.config.batch_size
    names = [t.split[t.plan.item(first + place)].id for place in skipped.places]
    log.note(skipped.step + 1, {"skipped": skipped.reason, "items": names})
    if t.accelerator.is_main_process:
        bar.write(skip_message(skipped, names))


def _due(step: int, every: int, last: bool) -> bool:
    return last or step % every == 0


def slice_losses(training: TrainingRun, batch: Batch) -> Tensor:
    """The weighted loss of each item of a slice, float32 [N]."""
    t = training

    def predict(noisy: Tensor, timesteps: Tensor) -> Tensor:
        with t.accelerator.autocast():
            predicted: Tensor = t.model(noisy, timesteps, batch.conditions)
        return predicted

    return t.process.losses(
        predict,
        batch.latents,
        batch.noise,
        batch.timesteps,
        min_snr=t.config.objective.min_snr_gamma,
    )


def validate(training: TrainingRun) -> dict[str, float]:
    """Held-out loss of the raw weights and of their average."""
    t, held_out = training, training.held_out
    assert held_out is not None
    slices = t.config.gradient_accumulation * t.accelerator.num_processes
    batch = max(1, t.config.batch_size // slices)

    losses = {"held_out_loss": held_out_loss(t, held_out, batch)}
    if t.state.ema:
        with t.state.ema.applied():
            losses["held_out_loss_ema"] = held_out_loss(t, held_out, batch)
    return losses


def held_out_loss(training: TrainingRun, held_out: HeldOut, batch: int) -> float:
    """The mean unweighted loss over all drawn items, shared out over the processes."""
    t, accelerator, runtime = training, training.accelerator, training.runtime
    total = torch.zeros(2, dtype=torch.float64)
    count, rank, ranks = len(held_out.draws), accelerator.process_index, accelerator.num_processes
    places = range(rank, count, ranks)
    with evaluating(t.state.denoiser):
        # As many batches on each process, as shards are gathered: the last may be empty.
        for first in range(0, -(-count // ranks), batch):
            mine = list(places[first : first + batch])
            draws = held_out.draws[mine or [0]]
            given = held_out.examples.batch(draws, runtime.memory_format).to(runtime.device)

            def predict(noisy: Tensor, timesteps: Tensor, given: Batch = given) -> Tensor:
                with runtime.precision_and_attention():
                    predicted: Tensor = t.state.denoiser(noisy, timesteps, given.conditions)
                return predicted

            losses = t.process.losses(predict, given.latents, given.noise, given.timesteps)
            losses = losses[: len(mine)].double().cpu()
            total += torch.stack([losses.sum(), torch.tensor(float(len(losses))).double()])
    summed: Tensor = accelerator.reduce(total.to(runtime.device), reduction="sum")
    return float(summed[0] / summed[1])


def measure_mask_fidelity(training: TrainingRun, log: MetricsLog) -> str:
    """Measure the fidelity of the averaged weights to held-out masks and save them if it is best.

    Returns the scores as a line. The main process measures; the others wait.
    """
    t, state, line = training, training.state, ""
    assert t.mask_fidelity is not None
    if t.accelerator.is_main_process:
        with state.ema.applied() if state.ema else nullcontext():
            scores, sheet = t.mask_fidelity.measure(t.live)
            best = False
            with warn_if_unwritable("the weights of the best Dice"):
                weights = dict(state.denoiser.trained())
                best = save_if_best(t.config.output, state.step, scores, weights)
        dice_scores = {f"dice {name}": value for name, value in scores.items()}
        log.write(state.step, {"validation": dice_scores})
        write_sheet(t, log, "mask_fidelity", "mask-fidelity", sheet)
        dice = "  ".join(f"{name} {value:.3f}" for name, value in scores.items())
        line = f"Dice: {dice}{', the best so far' if best else ''}"
    t.accelerator.wait_for_everyone()
    return line


def write_sheet(
    training: TrainingRun, log: MetricsLog, name: str, file: str, sheet: np.ndarray
) -> None:
    """Write a sheet of images to the tracker and into previews/, its name ending in the step."""
    step = training.state.step
    path = training.config.output / "previews" / f"{file}-{step:08d}.png"
    with warn_if_unwritable(f"the preview {path}"):
        path.parent.mkdir(exist_ok=True)
        write_file(path, encode_png(sheet))
    log.image(step, name, sheet, path)


def draw_preview(training: TrainingRun, pictures: PreviewConfig, log: MetricsLog) -> None:
    """Write a contact sheet of the preview prompts.

    The main process draws it; all do where each has a shard of the weights.
    """
    t, ema = training, training.state.ema
    if t.accelerator.is_main_process or is_sharding(t.accelerator):
        with ema.applied() if ema else nullcontext():
            sheet = preview(t.live, pictures, t.config.seed)
    if t.accelerator.is_main_process:
        write_sheet(t, log, "preview", "step", sheet)
    t.accelerator.wait_for_everyone()
