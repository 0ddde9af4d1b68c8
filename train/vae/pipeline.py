"""The pipeline of a trained VAE, beside an untrained UNet and text encoder."""

import numpy as np

from roentgen.cpu.threads import choose_threads
from roentgen.dataset.dataset import open_dataset
from roentgen.diffusion.backbones.model_folder import model_manifest
from roentgen.diffusion.backbones.stable_diffusion import load_components, save_model
from roentgen.diffusion.backbones.tiny import build_tiny
from roentgen.diffusion.training_record import describe_training_data
from roentgen.diffusion.vae import psnr, reconstruct
from roentgen.errors import InputError
from roentgen.manifest import inherit_licenses, provenance
from roentgen.storage import check_output, reserve_output
from train.checks import image_size
from train.vae.config import AutoencoderConfig
from train.vae.losses import imagenet_weights
from train.vae.trainer import train_autoencoder

MEASURED = 500  # images of the test split, at most


def make_autoencoder(config: AutoencoderConfig) -> str:
    """Train, measure and write the pipeline folder; returns a line of the result."""
    with reserve_output(config.output):
        check_output(config.output, overwrite=config.overwrite)
        return _make_autoencoder(config)


def _make_autoencoder(config: AutoencoderConfig) -> str:
    checkpoint = config.output.with_name(f"{config.output.name}.checkpoint.safetensors")
    if checkpoint.exists() and not (config.resume or config.overwrite):
        raise InputError(
            f"{checkpoint} is of a training that was stopped: set resume=true to continue it, or "
            "overwrite=true to start again"
        )
    if config.perceptual_weight:
        imagenet_weights()
    dataset = open_dataset(config.data)
    components = build_tiny(config.seed)
    sources = {"data": dataset.manifest}
    if config.init is not None:
        components.vae = load_components(config.init).vae
        sources["init"] = model_manifest(config.init)
    train, test = (dataset.split(name) for name in ("train", "test"))
    side = image_size(train, components)
    if (largest := max(phase.crop for phase in config.phases)) > side:
        raise InputError(f"phases.crop is {largest}: images of {config.data} have {side} pixels")
    training_data = describe_training_data(dataset.manifest, config.data.name, "train")
    threads = choose_threads()
    images = np.stack(train.images(range(len(train))))
    held_out = np.stack(test.images(range(min(len(test), MEASURED))))
    train_autoencoder(components.vae, images, config, checkpoint)
    decibel = float(psnr(held_out, np.stack(list(reconstruct(components.vae, held_out)))).mean())
    made_from = provenance("train.autoencoder", config, sources, threads)
    save_model(
        config.output,
        components,
        licenses=inherit_licenses(*sources.values()),
        provenance=made_from | {"training_data": training_data},
        overwrite=config.overwrite,
    )
    checkpoint.unlink(missing_ok=True)
    return f"{config.output}: PSNR {decibel:.2f} dB on {len(held_out)} held-out images"
