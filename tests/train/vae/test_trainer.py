"""The VAE's training: it learns, the same way each time, and can leave the latents as they are."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_file
from torch import Tensor

from roentgen.diffusion.vae import psnr, reconstruct
from roentgen.errors import InputError
from train.vae.config import AdversarialConfig, AutoencoderConfig, CropPhase
from train.vae.trainer import AutoencoderTrainer, train_autoencoder

IMAGES = np.stack(
    [np.add.outer(np.arange(32) * (k % 5), np.arange(32) * 2).astype(np.uint8) for k in range(24)]
)


def _vae() -> AutoencoderKL:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return AutoencoderKL(
            block_out_channels=(8, 8),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            norm_num_groups=4,
            latent_channels=4,
        )


def _config(**changes: object) -> AutoencoderConfig:
    settings: dict[str, object] = {
        "data": Path("unused"),
        "output": Path("unused"),
        "phases": (
            CropPhase(steps=40, batch_size=4, crop=16),
            CropPhase(steps=20, batch_size=4, crop=32),
        ),
        "warmup": 5,
        "learning_rate": 3e-3,
        **changes,
    }
    return AutoencoderConfig(**settings)  # type: ignore[arg-type]


def _decibel(vae: AutoencoderKL) -> float:
    return float(psnr(IMAGES, np.stack(list(reconstruct(vae, IMAGES)))).mean())


def _named(a: AutoencoderKL, b: AutoencoderKL) -> list[tuple[str, Tensor, Tensor]]:
    return [(name, x, y) for (name, x), y in zip(a.named_parameters(), b.parameters(), strict=True)]


def test_it_learns_to_reconstruct_and_measures_its_latents() -> None:
    vae = _vae()
    before = _decibel(vae)
    train_autoencoder(vae, IMAGES, _config())
    assert _decibel(vae) > before + 5
    with torch.inference_mode():
        pixels = torch.from_numpy(IMAGES).float()[:, None].repeat(1, 3, 1, 1) / 127.5 - 1
        spread = vae.encode(pixels).latent_dist.mean.std()
    assert float(spread) * vae.config.scaling_factor == pytest.approx(1, rel=1e-3)


def test_the_same_seed_gives_the_same_weights() -> None:
    first, again = _vae(), _vae()
    for vae in (first, again):
        train_autoencoder(vae, IMAGES, _config(phases=(CropPhase(steps=3, batch_size=2, crop=16),)))
    for a, b in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_rate_falls_to_zero_or_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    phases, rates = (CropPhase(steps=15, batch_size=2, crop=16),), []

    def step(_: AutoencoderTrainer, number: int, rate: float, batch: Tensor) -> dict[str, float]:
        rates.append(rate)
        return {}

    monkeypatch.setattr(AutoencoderTrainer, "step", step)
    warmup = [3e-3 * (k + 1) / 5 for k in range(5)]
    train_autoencoder(_vae(), IMAGES, _config(phases=phases))
    assert rates[:5] == pytest.approx(warmup)
    assert rates[10] == pytest.approx(1.5e-3)  # half of the cosine
    rates.clear()
    train_autoencoder(_vae(), IMAGES, _config(phases=phases, schedule="constant"))
    assert rates == pytest.approx([*warmup, *[3e-3] * 10])


def test_a_frozen_encoder_keeps_the_latents() -> None:
    vae = _vae()
    before = [p.detach().clone() for p in vae.encoder.parameters()]
    scale = vae.config.scaling_factor
    phases = (CropPhase(steps=3, batch_size=2, crop=16),)
    train_autoencoder(vae, IMAGES, _config(freeze_encoder=True, init="tiny", phases=phases))
    assert all(torch.equal(a, b) for a, b in zip(before, vae.encoder.parameters(), strict=True))
    assert vae.config.scaling_factor == scale


def test_a_resumed_training_equals_an_unbroken_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = tmp_path / "vae.checkpoint.safetensors"
    settings = _config(
        phases=(CropPhase(steps=6, batch_size=2, crop=16),),
        adversarial=AdversarialConfig(start=2),
        checkpoint_every=4,
    )
    unbroken = _vae()
    train_autoencoder(unbroken, IMAGES, settings)

    step = AutoencoderTrainer.step

    def killed(self: AutoencoderTrainer, number: int, *rest: Any) -> dict[str, float]:
        if number == 5:
            raise KeyboardInterrupt
        return step(self, number, *rest)

    monkeypatch.setattr(AutoencoderTrainer, "step", killed)
    with pytest.raises(KeyboardInterrupt):
        train_autoencoder(_vae(), IMAGES, settings, checkpoint)
    monkeypatch.undo()
    resumed = _vae()
    train_autoencoder(resumed, IMAGES, replace(settings, resume=True), checkpoint)
    for a, b in zip(unbroken.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)
    with pytest.raises(InputError, match="other settings"):
        train_autoencoder(_vae(), IMAGES, replace(settings, resume=True, seed=1), checkpoint)
    save_file({"step": torch.tensor(4)}, checkpoint)  # of another program: it names no settings
    with pytest.raises(InputError, match="other settings"):
        train_autoencoder(_vae(), IMAGES, replace(settings, resume=True), checkpoint)
    checkpoint.write_bytes(b"cut")
    with pytest.raises(InputError, match="not a checkpoint"):
        train_autoencoder(_vae(), IMAGES, replace(settings, resume=True), checkpoint)


def test_the_discriminator_learns_what_decoded_images_lack() -> None:
    """Grain that the latents cannot hold; until the start the VAE does not train against it."""
    rng = np.random.default_rng(0)
    grain = torch.from_numpy(rng.normal(0, 0.2, (8, 1, 32, 32)).astype(np.float32))
    batch = grain.expand(-1, 3, -1, -1)
    alone, paired = _vae(), _vae()
    ours = AutoencoderTrainer(paired, _config(adversarial=AdversarialConfig(start=30)))
    theirs = AutoencoderTrainer(alone, _config())
    losses = [ours.step(k, 1e-3, batch)["discriminator"] for k in range(30)]
    for k in range(30):
        theirs.step(k, 1e-3, batch)
    assert losses[0] > 0.9
    assert losses[-1] < 0.3
    assert all(torch.equal(a, b) for _, a, b in _named(alone, paired))
    ours.step(30, 1e-3, batch)
    theirs.step(30, 1e-3, batch)
    changed = [name for name, a, b in _named(alone, paired) if not torch.equal(a, b)]
    assert "decoder.conv_out.weight" in changed
