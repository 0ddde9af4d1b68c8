"""Dry run: parameters, memory, disk and time of a run, estimated without training or writing.

Memory and time are measured on samples: the VAE on some images, one slice of the real shapes
forward and backward, the optimizer on a part of the weights.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from roentgen.cache import missing_items
from roentgen.diffusion.components import Components
from roentgen.diffusion.conditions.conditions import Conditions
from roentgen.diffusion.denoiser import Denoiser
from train.config import RunConfig
from train.engine.attention import attention_kernel
from train.inputs import Inputs
from train.loading.latent_cache import plan_latents
from train.optim.ema import Ema
from train.optim.optimizer import build_optimizer
from train.setup import memory
from train.setup.conditions import training_conditions

if TYPE_CHECKING:
    from accelerate import Accelerator

SAMPLE = 2**24  # parameters on which the optimizer is timed


@dataclass(frozen=True, kw_only=True)
class RunEstimate:
    """Estimated resources of a run."""

    parameters: dict[str, tuple[int, int]]  # by network: total, trained
    memory: dict[str, int]  # bytes of each process during training, by purpose
    encoding_peak: int  # bytes of each process during encoding; 0: all is cached
    disk: dict[str, int]  # bytes, by purpose
    encoding: float  # seconds
    step: float  # seconds
    steps: int

    @property
    def peak(self) -> int:
        """Peak bytes of a process."""
        return max(sum(self.memory.values()), self.encoding_peak)

    @property
    def seconds(self) -> float:
        """Total time without validation, previews and checkpoints."""
        return self.encoding + self.steps * self.step


def dry_run(
    config: RunConfig, inputs: Inputs, denoiser: Denoiser, accelerator: "Accelerator"
) -> None:
    """Print the estimate."""
    found = estimate(config, inputs, denoiser, accelerator)
    if accelerator.is_main_process:
        print(format_estimate(found, config, accelerator))  # noqa: T201


def estimate(
    config: RunConfig, inputs: Inputs, denoiser: Denoiser, accelerator: "Accelerator"
) -> RunEstimate:
    """Measure samples of a run's work. The networks must not be used afterward."""
    device, vae = accelerator.device, inputs.components.vae
    vae.to(device, memory_format=_layout(config)).requires_grad_(False)
    trained = [weight for _, weight in denoiser.trained()]
    numbers = sum(weight.numel() for weight in trained)
    weights = _bytes([*denoiser.state_dict().values(), *vae.state_dict().values()])
    began = memory.in_use(device)
    encoding, encoding_peak = try_encoding(config, inputs, accelerator)
    slice_seconds, peak = try_slice(config, inputs, denoiser, accelerator)
    update = try_update(config, denoiser, device) * numbers
    averages = bool(config.ema) + 2 * bool(config.ema and config.ema.posthoc)
    done = inputs.checkpoint[1]["step"] if inputs.checkpoint else 0
    return RunEstimate(
        parameters=parameters(inputs.components),
        memory={
            "program": max(0, began - weights),
            "weights": weights,
            "gradients": _bytes(trained),
            "optimizer": sum(moments(config.optimizer.name, weight) for weight in trained),
            "averages": averages * 4 * numbers,
            "activations": max(0, peak - began - _bytes(trained)),
        },
        encoding_peak=encoding_peak,
        disk=inputs.disk,
        encoding=encoding,
        step=config.gradient_accumulation * slice_seconds + update,
        steps=max(0, config.steps - done),
    )


def parameters(components: Components) -> dict[str, tuple[int, int]]:
    """Total and trained parameters of each network."""
    return {
        name: (
            sum(weight.numel() for weight in net.parameters()),
            sum(weight.numel() for weight in net.parameters() if weight.requires_grad),
        )
        for name, net in components.networks().items()
    }


def moments(optimizer: str, weight: Tensor) -> int:
    """Bytes of an optimizer's state of a weight."""
    match optimizer:
        case "adamw8bit":  # two in a byte each, with a scale for each 256
            return 2 * weight.numel() * (256 + 4) // 256
        case "adafactor" if weight.ndim > 1:  # of rows and of columns
            return 4 * (weight[..., 0].numel() + weight[..., 0, :].numel())
        case "adafactor":
            return 4 * weight.numel()
        case _:
            return 2 * 4 * weight.numel()


def try_encoding(
    config: RunConfig, inputs: Inputs, accelerator: "Accelerator"
) -> tuple[float, int]:
    """Seconds to encode all images that are not cached yet, and peak memory."""
    seconds = 0.0
    memory.reset_peak(accelerator.device)
    for of in inputs.splits:
        plan = plan_latents(of.images, inputs.components.vae)
        folder, contents = plan.folder(config.caches), plan.contents
        removed = config.overwrite and not config.data.caches
        rows = contents.items if removed else missing_items(folder, contents)
        if rows:
            chunk = range(min(plan.chunk, plan.contents.items))
            once = _seconds(lambda: plan.encode(chunk), accelerator.device)  # noqa: B023
            seconds += once / len(chunk) * rows / accelerator.num_processes
    return seconds, memory.peak(accelerator.device) if seconds else 0


def try_slice(
    config: RunConfig, inputs: Inputs, denoiser: Denoiser, accelerator: "Accelerator"
) -> tuple[float, int]:
    """Seconds of a slice forward and backward, and peak memory."""
    device, unet = accelerator.device, denoiser.unet.config
    n = config.batch_size // (config.gradient_accumulation * accelerator.num_processes)
    shape = (n, unet.in_channels, unet.sample_size, unet.sample_size)
    noisy = torch.randn(shape).to(device, memory_format=_layout(config))
    steps = torch.zeros(n, dtype=torch.int64, device=device)
    conditions = Conditions(text=denoiser.example_text(n))
    for condition in training_conditions(config):
        conditions |= condition.example(n, inputs.size).to(device)

    def run() -> None:
        denoiser.zero_grad(set_to_none=True)
        with attention_kernel(config.attention):
            with accelerator.autocast():
                predicted = denoiser(noisy, steps, conditions)
            predicted.float().square().mean().backward()

    denoiser.train()
    memory.reset_peak(device)
    return _seconds(run, device), memory.peak(device)


def try_update(config: RunConfig, denoiser: Denoiser, device: torch.device) -> float:
    """Seconds of optimizer and averages per trained parameter."""
    sample, numbers = [], 0
    for _, weight in list(denoiser.trained()):
        if numbers < SAMPLE:
            sample.append(weight)
            numbers += weight.numel()
        else:
            weight.grad = None
            weight.requires_grad_(False)
    optimizer = build_optimizer(denoiser, config.optimizer, config.rates())
    ema = config.ema
    average = Ema(denoiser, ema.decay, ema.start) if ema else None
    finite = torch.ones((), device=device)

    def run() -> None:
        torch.nn.utils.clip_grad_norm_(sample, 1.0)
        optimizer.step()
        if average:
            average.update(0, finite)

    return _seconds(run, device) / numbers


def _seconds(run: Callable[[], object], device: torch.device) -> float:
    """Seconds of a call after a warm-up, the minimum of two."""
    times = []
    for _ in range(3):
        started = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - started)
    return min(times[1:])


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _layout(config: RunConfig) -> torch.memory_format:
    return torch.channels_last if config.channels_last else torch.contiguous_format


def format_estimate(found: RunEstimate, config: RunConfig, accelerator: "Accelerator") -> str:
    """The estimate as a text table."""
    ranks, device = accelerator.num_processes, accelerator.device.type
    held, trained = (sum(column) for column in zip(*found.parameters.values(), strict=True))
    slices = config.batch_size // (ranks * config.gradient_accumulation)
    lines = [f"parameters {' ' * 14} trained"]
    for name, (of_all, of_trained) in [*found.parameters.items(), ("all", (held, trained))]:
        lines.append(f"  {name:<14}{of_all / 1e6:8.1f} M{of_trained / 1e6:8.1f} M")
    lines.append(
        f"memory of each process ({ranks} on {device}, {config.precision}, slices of {slices})"
    )
    lines += _table(found.memory | {"together": sum(found.memory.values())})
    if found.encoding_peak:
        lines += _table({"while encoding": found.encoding_peak})
    if accelerator.distributed_type in ("FSDP", "DEEPSPEED"):
        lines.append("  of a single process: sharded over processes it is less")
    lines += ["disk", *_table(found.disk | {"together": sum(found.disk.values())})]
    lines.append("time, without validation, previews and checkpoints")
    lines.append(f"  {'encoding':<14}{_duration(found.encoding):>10}")
    training = _duration(found.steps * found.step)
    lines.append(f"  {'training':<14}{training:>10}  ({found.steps} steps of {found.step:.3g} s)")
    return "\n".join(lines)


def _table(sizes: dict[str, int]) -> list[str]:
    return [f"  {name:<14}{size / 1e9:8.2f} GB" for name, size in sizes.items()]


def _duration(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours} h {rest // 60:02} min" if hours else f"{rest // 60} min {rest % 60:02} s"
