from collections.abc import Callable

import pytest
import torch

from roentgen.models.stable_diffusion import Parts
from train.denoiser import Denoiser
from train.ema import Ema, decay_at


def test_the_decay_warms_up_to_its_limit() -> None:
    assert decay_at(0, 0.999) == pytest.approx(0.1)
    assert decay_at(90, 0.999) == pytest.approx(0.91)
    assert decay_at(1_000_000, 0.999) == 0.999


def test_the_average_follows_its_closed_form(make_small_parts: Callable[..., Parts]) -> None:
    denoiser = Denoiser(make_small_parts())
    name, weight = next(denoiser.trained())
    start = weight.detach().clone()
    ema = Ema(denoiser, decay=0.5)
    expected = 0.0  # of what is added to the start
    for step, added in enumerate((1.0, 2.0, 5.0, 3.0, 7.0, 1.0)):
        with torch.no_grad():
            weight.copy_(start + added)
        ema.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * added
    torch.testing.assert_close(ema.weights[name], start + expected)


def test_it_averages_bfloat16_weights_in_float32(make_small_parts: Callable[..., Parts]) -> None:
    denoiser = Denoiser(make_small_parts()).bfloat16()
    ema = Ema(denoiser, decay=0.9999)
    ema.update(0)
    assert {weight.dtype for weight in ema.weights.values()} == {torch.float32}


def test_applying_it_is_undone_bit_for_bit(make_small_parts: Callable[..., Parts]) -> None:
    denoiser = Denoiser(make_small_parts())
    ema = Ema(denoiser, decay=0.9)
    with torch.no_grad():
        for _, weight in denoiser.trained():
            weight.add_(1)
    raw = {name: weight.detach().clone() for name, weight in denoiser.trained()}
    average = {name: weight.clone() for name, weight in ema.weights.items()}
    with ema.applied():
        assert all(torch.equal(weight, average[name]) for name, weight in denoiser.trained())
    assert all(torch.equal(weight, raw[name]) for name, weight in denoiser.trained())
    assert all(torch.equal(weight, average[name]) for name, weight in ema.weights.items())
