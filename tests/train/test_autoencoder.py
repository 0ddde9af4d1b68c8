"""The VAE's training: it learns, the same way each time, and can leave the latents as they are."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL

from roentgen.diffusion.vae import psnr, reconstruct
from roentgen.errors import InputError
from train.autoencoder_training import train_autoencoder
from train.config import AutoencoderConfig, CropPhase

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


def test_a_frozen_encoder_keeps_the_latents() -> None:
    vae = _vae()
    before = [p.detach().clone() for p in vae.encoder.parameters()]
    scale = vae.config.scaling_factor
    phases = (CropPhase(steps=3, batch_size=2, crop=16),)
    train_autoencoder(vae, IMAGES, _config(freeze_encoder=True, phases=phases))
    assert all(torch.equal(a, b) for a, b in zip(before, vae.encoder.parameters(), strict=True))
    assert vae.config.scaling_factor == scale


def test_crops_must_fit_the_latents() -> None:
    with pytest.raises(InputError, match=r"phases.crop is 20"):
        _config(phases=(CropPhase(steps=1, batch_size=1, crop=20),))
