from collections.abc import Callable

import pytest
import torch

from roentgen.diffusion.components import Components
from roentgen.diffusion.denoiser import Denoiser
from train.optim.ema import Ema, decay_at

DONE = torch.tensor(1.0)


def test_the_decay_warms_up_to_its_limit() -> None:
    assert decay_at(0, 0.999) == pytest.approx(0.1)
    assert decay_at(90, 0.999) == pytest.approx(0.91)
    assert decay_at(1_000_000, 0.999) == 0.999
    assert [decay_at(step, 0.999, start=3) for step in (0, 2, 3)] == [0, 0, pytest.approx(0.1)]


def test_the_average_follows_its_closed_form(
    make_small_components: Callable[..., Components],
) -> None:
    denoiser = Denoiser(make_small_components())
    name, weight = next(denoiser.trained())
    start = weight.detach().clone()
    ema = Ema(denoiser, decay=0.5)
    expected = 0.0  # of what is added to the start
    for step, added in enumerate((1.0, 2.0, 5.0, 3.0, 7.0, 1.0)):
        with torch.no_grad():
            weight.copy_(start + added)
        ema.update(step, DONE)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * added
    torch.testing.assert_close(ema.weights[name], start + expected)


def test_before_its_start_it_is_the_weights_themselves(
    make_small_components: Callable[..., Components],
) -> None:
    denoiser = Denoiser(make_small_components())
    name, weight = next(denoiser.trained())
    ema = Ema(denoiser, decay=0.9, start=3)
    for step in range(5):
        with torch.no_grad():
            weight.add_(0.1 * (step + 1))
        before = ema.weights[name].clone()
        ema.update(step, DONE)
        if step < 3:
            assert torch.equal(ema.weights[name], weight)
        else:  # counted from the start: decays of 1/10 and 2/11
            decay = (step - 2) / (step + 7)
            torch.testing.assert_close(ema.weights[name], decay * before + (1 - decay) * weight)


def test_a_step_that_was_left_out_changes_no_bit(
    make_small_components: Callable[..., Components],
) -> None:
    denoiser = Denoiser(make_small_components())
    ema = Ema(denoiser, decay=0.9)
    before = {name: average.clone() for name, average in ema.weights.items()}
    with torch.no_grad():
        for _, weight in denoiser.trained():
            weight.add_(1)
    ema.update(0, torch.tensor(0.0))
    assert all(torch.equal(average, before[name]) for name, average in ema.weights.items())


def test_it_averages_bfloat16_weights_in_float32(
    make_small_components: Callable[..., Components],
) -> None:
    denoiser = Denoiser(make_small_components()).bfloat16()
    ema = Ema(denoiser, decay=0.9999)
    ema.update(0, DONE)
    assert {weight.dtype for weight in ema.weights.values()} == {torch.float32}


def test_applying_it_is_undone_bit_for_bit(
    make_small_components: Callable[..., Components],
) -> None:
    denoiser = Denoiser(make_small_components())
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
