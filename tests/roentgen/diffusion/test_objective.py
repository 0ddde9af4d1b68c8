import pytest
import torch
from diffusers import DDPMScheduler
from diffusers.schedulers.scheduling_ddim import rescale_zero_terminal_snr
from diffusers.training_utils import compute_snr

from roentgen.diffusion.objective import (
    add_noise,
    item_losses,
    min_snr_weights,
    offset_noise,
    target,
    zero_terminal_snr,
)


@pytest.fixture(scope="module")
def schedule() -> DDPMScheduler:
    return DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")


def test_noising_and_velocity_equal_diffusers(schedule: DDPMScheduler) -> None:
    generator = torch.Generator().manual_seed(0)
    latents, noise = torch.randn((2, 5, 4, 8, 8), generator=generator)
    steps = torch.tensor([0, 10, 500, 998, 999])
    alpha_bar = schedule.alphas_cumprod[steps]
    torch.testing.assert_close(
        add_noise(latents, noise, alpha_bar), schedule.add_noise(latents, noise, steps)
    )
    torch.testing.assert_close(
        target("v_prediction", latents, noise, alpha_bar),
        schedule.get_velocity(latents, noise, steps),
    )
    assert target("epsilon", latents, noise, alpha_bar) is noise


def test_min_snr_weights_follow_the_paper() -> None:
    alpha_bar = torch.tensor([0.999, 0.9, 0.5, 0.05])
    snr = alpha_bar / (1 - alpha_bar)
    capped = snr.clamp(max=5)
    torch.testing.assert_close(min_snr_weights("epsilon", alpha_bar, 5), capped / snr)
    torch.testing.assert_close(min_snr_weights("v_prediction", alpha_bar, 5), capped / (snr + 1))


def test_min_snr_weights_equal_those_of_diffusers_signal_to_noise(schedule: DDPMScheduler) -> None:
    steps = torch.arange(1000)
    alpha_bar, snr = schedule.alphas_cumprod, compute_snr(schedule, steps)
    capped = snr.clamp(max=5)
    torch.testing.assert_close(min_snr_weights("epsilon", alpha_bar, 5), capped / snr)
    # Below Stable Diffusion's own last SNR the weights would level off: none is.
    torch.testing.assert_close(
        min_snr_weights("v_prediction", alpha_bar, 5), capped / (snr + 1), rtol=1e-4, atol=1e-7
    )


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_min_snr_weights_are_finite_and_positive_at_zero_snr(prediction: str) -> None:
    weights = min_snr_weights(prediction, torch.tensor([0.0, 1e-9]), 5)
    assert weights.isfinite().all()
    assert (weights > 0.004).all()


def test_offset_noise_is_the_noise_and_a_share_of_the_channels_own() -> None:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn((2, 4, 8, 8), generator=generator)
    shared = torch.randn((2, 4, 1, 1), generator=generator)
    shifted = offset_noise(noise, shared, 0.1)
    for item, channel in ((0, 0), (1, 3)):
        expected = noise[item, channel] + 0.1 * shared[item, channel].item()
        torch.testing.assert_close(shifted[item, channel], expected)
    assert torch.equal(offset_noise(noise, shared, 0.0), noise)


@pytest.mark.parametrize("betas", [(0.00085, 0.012), (0.0001, 0.02)])
def test_a_schedule_without_terminal_signal_equals_diffusers(betas: tuple[float, float]) -> None:
    options = {"beta_start": betas[0], "beta_end": betas[1], "beta_schedule": "scaled_linear"}
    ordinary = DDPMScheduler(**options)
    alpha_bars = zero_terminal_snr(ordinary.alphas_cumprod)
    theirs = torch.cumprod(1 - rescale_zero_terminal_snr(ordinary.betas), dim=0)
    torch.testing.assert_close(alpha_bars, theirs, rtol=1e-4, atol=1e-7)  # they multiply up again
    # The properties that the paper asks for, in double precision.
    exact = zero_terminal_snr(ordinary.alphas_cumprod.double())
    assert exact[-1] == alpha_bars[-1] == 0
    assert exact[0].item() == pytest.approx(ordinary.alphas_cumprod[0].item(), rel=1e-12)
    assert (exact.diff() < 0).all()
    torch.testing.assert_close(zero_terminal_snr(exact), exact)  # nothing is left to do


@pytest.mark.parametrize("gamma", [None, 5.0])
def test_the_last_step_without_signal_is_learnt_like_the_ordinary_one(gamma: float | None) -> None:
    alpha_bars = zero_terminal_snr(
        DDPMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"
        ).alphas_cumprod
    )
    generator = torch.Generator().manual_seed(0)
    latents, noise = torch.randn((2, 3, 4, 8, 8), generator=generator)
    alpha_bar = alpha_bars[torch.tensor([999, 998, 0])]
    noisy = add_noise(latents, noise, alpha_bar)
    assert torch.equal(noisy[0], noise[0])
    wanted = target("v_prediction", latents, noise, alpha_bar)
    assert torch.equal(wanted[0], -latents[0])
    said = torch.zeros_like(noisy, requires_grad=True)
    weights = None if gamma is None else min_snr_weights("v_prediction", alpha_bar, gamma)
    losses = item_losses(said, wanted, weights)
    (slope,) = torch.autograd.grad(losses.sum(), said)
    assert losses.isfinite().all()
    assert slope.isfinite().all()
    assert (losses > 0).all()


def test_losses_are_means_of_squares_per_item() -> None:
    said = torch.zeros(2, 1, 2, 2)
    wanted = torch.tensor([1.0, 3.0]).view(2, 1, 1, 1).expand(2, 1, 2, 2)
    assert item_losses(said, wanted, None).tolist() == [1.0, 9.0]
    assert item_losses(said, wanted, torch.tensor([0.5, 2.0])).tolist() == [0.5, 18.0]
    assert item_losses(said.bfloat16(), wanted.bfloat16(), None).dtype == torch.float32


def test_an_unknown_prediction_is_refused() -> None:
    one = torch.ones(1)
    with pytest.raises(ValueError, match="'sample'; known: epsilon, v_prediction"):
        target("sample", one, one, one)
    with pytest.raises(ValueError, match="'sample'"):
        min_snr_weights("sample", one, 5)
