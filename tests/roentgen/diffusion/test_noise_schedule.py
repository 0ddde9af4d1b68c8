from collections.abc import Callable

import diffusers
import torch

from roentgen.diffusion.components import Components
from roentgen.diffusion.noise_schedule import alpha_bars_of, process_of, with_zero_terminal_snr


def test_the_schedule_is_the_bases(make_small_components: Callable[..., Components]) -> None:
    scheduler = make_small_components().scheduler
    torch.testing.assert_close(alpha_bars_of(scheduler), scheduler.alphas_cumprod)
    theirs = diffusers.DDPMScheduler.from_config(scheduler.config, rescale_betas_zero_snr=True)
    ours = alpha_bars_of(with_zero_terminal_snr(scheduler))
    # A solver in whose way zero is puts 2^-24 there.
    torch.testing.assert_close(ours, theirs.alphas_cumprod, rtol=1e-4, atol=1e-7)
    assert ours[-1] == 0


def test_the_process_is_what_the_scheduler_describes(
    make_small_components: Callable[..., Components],
) -> None:
    for prediction in ("epsilon", "v_prediction"):
        scheduler = make_small_components(prediction_type=prediction).scheduler
        process = process_of(scheduler)
        assert (process.prediction, process.timesteps) == (prediction, 1000)
        assert torch.equal(process.alpha_bars, alpha_bars_of(scheduler))
