"""Noise schedules of models: read from a scheduler, and rescaled to zero terminal SNR."""

from typing import TYPE_CHECKING, Any

from diffusers import DDIMScheduler, DDPMScheduler
from torch import Tensor

from roentgen.diffusion.objective import DiffusionProcess, zero_terminal_snr

if TYPE_CHECKING:
    from diffusers import SchedulerMixin


def process_of(scheduler: "SchedulerMixin") -> DiffusionProcess:
    """The diffusion process that a model's scheduler describes."""
    config: Any = scheduler.config
    return DiffusionProcess(prediction=config.prediction_type, alpha_bars=alpha_bars_of(scheduler))


def alpha_bars_of(scheduler: "SchedulerMixin") -> Tensor:
    """The cumulative products of a scheduler's noise schedule, float32 [timesteps].

    Solvers put a small number in place of a zero at the end, which training does not need.
    """
    config: Any = scheduler.config
    alpha_bars: Tensor = DDPMScheduler.from_config(
        config, rescale_betas_zero_snr=False
    ).alphas_cumprod.float()
    return zero_terminal_snr(alpha_bars) if config.get("rescale_betas_zero_snr") else alpha_bars


def with_zero_terminal_snr(scheduler: "SchedulerMixin") -> "SchedulerMixin":
    """A scheduler of the same schedule rescaled to end in pure noise, where sampling then starts.

    PNDM, which Stable Diffusion comes with, supports neither. Latents are not pixels: no clipping.
    """
    return DDIMScheduler.from_config(
        scheduler.config,
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
    )
