import pytest
import torch
from diffusers import DDPMScheduler

from train.loss import add_noise, item_losses, min_snr_weights, target


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


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_min_snr_weights_are_finite_and_positive_at_zero_snr(prediction: str) -> None:
    weights = min_snr_weights(prediction, torch.tensor([0.0, 1e-9]), 5)
    assert weights.isfinite().all()
    assert (weights > 0.004).all()


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
