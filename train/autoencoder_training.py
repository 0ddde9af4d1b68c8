"""Training of the tiny base's VAE.

The loss is the mean squared error of the reconstruction plus a small KL term (Rombach et al. 2022).
So that it generalizes to radiographs of other sources, a share of the training crops is rescaled,
changed in contrast and overlaid with 1/f texture.
"""

import json
import math
import time
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from diffusers import AutoencoderKL

from roentgen.cpu.threads import choose_threads
from roentgen.dataset.dataset import open_dataset
from roentgen.diffusion.backbones.stable_diffusion import load_components, save_model
from roentgen.diffusion.backbones.tiny import build_tiny
from roentgen.diffusion.vae import Images, psnr, reconstruct
from roentgen.manifest import provenance
from roentgen.randomness import numpy_generator, torch_generator
from roentgen.storage import check_output, reserve_output
from roentgen.terminal.progress import Progress
from train.config import AutoencoderConfig


def make_autoencoder(config: AutoencoderConfig) -> str:
    """Train, measure and write the pipeline folder; returns a line of the result."""
    with reserve_output(config.output):
        check_output(config.output, overwrite=config.overwrite)
        return _make_autoencoder(config)


def _make_autoencoder(config: AutoencoderConfig) -> str:
    dataset, threads = open_dataset(config.data), choose_threads()
    train = np.stack(dataset.split("train").images(range(len(dataset.split("train")))))
    test = np.stack(dataset.split("test").images(range(min(len(dataset.split("test")), 500))))
    components = build_tiny(config.seed)
    if config.init is not None:
        components.vae = load_components(config.init).vae
    train_autoencoder(components.vae, train, config)
    decibel = float(psnr(test, np.stack(list(reconstruct(components.vae, test)))).mean())
    save_model(
        config.output,
        components,
        licenses=dataset.licenses,
        provenance=provenance("train.autoencoder", config, {"data": dataset.manifest}, threads),
        overwrite=config.overwrite,
    )
    return f"{config.output}: PSNR {decibel:.2f} dB on {len(test)} held-out images"


def train_autoencoder(vae: AutoencoderKL, images: Images, config: AutoencoderConfig) -> None:
    """Train a VAE in place on uint8 images [N, H, W], average its weights, measure its latents."""
    vae.to(memory_format=torch.channels_last).train()
    if config.freeze_encoder:
        vae.encoder.requires_grad_(False)
        vae.quant_conv.requires_grad_(False)
    trained = [parameter for parameter in vae.parameters() if parameter.requires_grad]
    average = [parameter.detach().clone() for parameter in trained]
    optimizer = torch.optim.AdamW(
        trained, lr=config.learning_rate, betas=(0.9, 0.99), weight_decay=0.0, fused=True
    )
    total = sum(phase.steps for phase in config.phases)
    started = time.monotonic()
    progress = Progress(total, "VAE", "step")
    for step, batch in enumerate(progress.over(_batches(images, config))):
        warm = min((step + 1) / config.warmup, 1.0)
        rate = config.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * step / total))
        for group in optimizer.param_groups:
            group["lr"] = rate
        posterior = vae.encode(batch).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=torch_generator(config.seed, "z", step))
        error = (vae.decode(posterior.mean + posterior.std * noise).sample - batch).square().mean()
        # kl() sums over a latent's elements; take the mean of one element
        kl = posterior.kl().mean() / posterior.mean[0].numel()
        optimizer.zero_grad(set_to_none=True)
        (error + config.kl_weight * kl).backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        decay = min(config.ema_decay, (step + 1) / (step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(average, trained, 1 - decay)
        if step % 50 == 0:
            values = {"db": round(-10 * math.log10(error.item() / 4), 2), "kl": round(kl.item(), 1)}
            progress.note(", ".join(f"{name} {value}" for name, value in values.items()))
            seconds = time.monotonic() - started
            progress.write(json.dumps({"step": step, **values, "seconds": round(seconds)}))
    with torch.no_grad():
        for parameter, mean in zip(trained, average, strict=True):
            parameter.copy_(mean)
    vae.eval().requires_grad_(True)
    if not config.freeze_encoder:
        vae.register_to_config(scaling_factor=_scaling_factor(vae, images))


def _batches(images: Images, config: AutoencoderConfig) -> Iterator[torch.Tensor]:
    """Batches [B, 3, crop, crop] in [-1, 1], channels last; a function of (seed, step) alone."""
    step = 0
    for phase in config.phases:
        for _ in range(phase.steps):
            rng = numpy_generator(config.seed, "batch", step)
            chosen = rng.integers(len(images), size=phase.batch_size)
            crops = [_crop(rng, images[k], phase.crop, config.altered_share) for k in chosen]
            yield _to_input(torch.from_numpy(np.stack(crops)))
            step += 1


def _to_input(gray: torch.Tensor) -> torch.Tensor:
    """Gray [N, H, W] to three equal channels, channels last."""
    return gray[:, None].repeat(1, 3, 1, 1).contiguous(memory_format=torch.channels_last)


def _crop(
    rng: np.random.Generator, image: Images, size: int, altered_share: float
) -> npt.NDArray[np.float32]:
    """A random square of one image, float32 in [-1, 1]; a share of them is altered."""
    altered = rng.random() < altered_share
    side = min(round(size * (rng.uniform(0.6, 1.6) if altered else 1)), image.shape[0])
    top, left = rng.integers(image.shape[0] - side + 1, size=2)
    square = torch.from_numpy(image[top : top + side, left : left + side].copy()).float() / 127.5
    if side != size:
        square = torch.nn.functional.interpolate(
            square[None, None], size=(size, size), mode="bilinear", antialias=True
        )[0, 0]
    crop = square.numpy() - 1
    if altered:
        crop = crop * rng.uniform(0.6, 1.2) + rng.uniform(-0.3, 0.3)
        crop = crop + rng.uniform(0, 0.25) * _texture(rng, size, rng.uniform(0.8, 1.8))
        crop = np.clip(crop, -1, 1)
    return crop.astype(np.float32)


def _texture(rng: np.random.Generator, size: int, slope: float) -> npt.NDArray[np.float64]:
    """Noise whose amplitude falls as 1/f^slope, as in natural images; unit variance."""
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((size, size))) / frequency**slope
    field = np.fft.irfft2(spectrum, (size, size))
    return np.asarray(field / field.std())


@torch.inference_mode()
def _scaling_factor(vae: AutoencoderKL, images: Images) -> float:
    """One over the standard deviation of the latents, so that diffusion sees unit variance."""
    sample = images[:: max(len(images) // 512, 1)]
    latents = []
    for start in range(0, len(sample), 16):
        x = _to_input(torch.from_numpy(sample[start : start + 16].copy()).float() / 127.5 - 1)
        latents.append(vae.encode(x).latent_dist.mean)
    return float(1 / torch.cat(latents).std())
