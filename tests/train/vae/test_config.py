"""Settings of the VAE's training that cannot be meant: one line, before any work."""

from typing import Any

import pytest

from roentgen.config import config_from_dict
from roentgen.errors import InputError
from train.vae.config import AutoencoderConfig

PHASE = {"steps": 1, "batch_size": 1, "crop": 64}
GOOD = {"data": "ph", "output": "vae", "phases": [PHASE]}


def _read(**changes: Any) -> AutoencoderConfig:
    return config_from_dict(AutoencoderConfig, GOOD | changes)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("learning_rate", 0.0),
        ("learning_rate", -1e-3),
        ("learning_rate", float("nan")),
        ("learning_rate", float("inf")),
        ("warmup", 0),
        ("kl_weight", -1e-6),
        ("perceptual_weight", -1.0),
        ("ema_decay", 1.5),
        ("ema_decay", 1.0),
        ("ema_decay", -0.1),
        ("altered_share", 1.1),
        ("altered_share", -0.1),
        ("checkpoint_every", 0),
        ("phases", []),
    ],
)
def test_a_setting_out_of_range_is_named(key: str, value: Any) -> None:
    with pytest.raises(InputError, match=rf"^{key} is "):
        _read(**{key: value})


@pytest.mark.parametrize(
    ("key", "value"),
    [("steps", 0), ("steps", -1), ("batch_size", 0), ("crop", 0), ("crop", -8), ("crop", 20)],
)
def test_a_phase_out_of_range_is_named(key: str, value: int) -> None:
    with pytest.raises(InputError, match=rf"^phases\.{key} is {value}: "):
        _read(phases=[PHASE, PHASE | {key: value}])


@pytest.mark.parametrize(
    ("key", "value"), [("start", -1), ("weight", 0.0), ("weight", -0.2), ("learning_rate", 0.0)]
)
def test_a_setting_of_the_discriminator_out_of_range_is_named(key: str, value: float) -> None:
    with pytest.raises(InputError, match=rf"^adversarial\.{key} is {value}: "):
        _read(adversarial={key: value})


def test_local_spectra_need_crops_of_a_window() -> None:
    _read(spectral_weight=0.1, phases=[PHASE | {"crop": 32}])
    with pytest.raises(
        InputError, match=r"^phases\.crop is 24: with spectral_weight at least 32 is"
    ):
        _read(spectral_weight=0.1, phases=[PHASE, PHASE | {"crop": 24}])


def test_the_discriminator_needs_crops_that_it_has_a_score_for() -> None:
    small = [PHASE, PHASE | {"crop": 8}]
    _read(phases=small)
    _read(adversarial={}, phases=[PHASE | {"crop": 16}])
    with pytest.raises(InputError, match=r"^phases\.crop is 8: with adversarial it must be at"):
        _read(adversarial={}, phases=small)


def test_an_encoder_that_stays_must_be_a_trained_one() -> None:
    _read(freeze_encoder=True, init="tiny")
    with pytest.raises(InputError, match=r"^freeze_encoder is set without init"):
        _read(freeze_encoder=True)
