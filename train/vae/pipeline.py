"""The pipeline of a trained VAE, beside an untrained UNet and text encoder."""

import numpy as np

from roentgen.cpu.threads import choose_threads
from roentgen.dataset.dataset import open_dataset
from roentgen.diffusion.backbones.stable_diffusion import load_components, save_model
from roentgen.diffusion.backbones.tiny import build_tiny
from roentgen.diffusion.vae import psnr, reconstruct
from roentgen.manifest import provenance
from roentgen.storage import check_output, reserve_output
from train.vae.config import AutoencoderConfig
from train.vae.trainer import train_autoencoder


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
    checkpoint = config.output.with_name(f"{config.output.name}.checkpoint.safetensors")
    train_autoencoder(components.vae, train, config, checkpoint)
    decibel = float(psnr(test, np.stack(list(reconstruct(components.vae, test)))).mean())
    save_model(
        config.output,
        components,
        licenses=dataset.licenses,
        provenance=provenance("train.autoencoder", config, {"data": dataset.manifest}, threads),
        overwrite=config.overwrite,
    )
    checkpoint.unlink(missing_ok=True)
    return f"{config.output}: PSNR {decibel:.2f} dB on {len(test)} held-out images"
