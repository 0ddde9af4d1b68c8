"""Train the tiny base's VAE: `python -m train.autoencoder configs/train/tiny_vae.yaml`.

The result is a complete pipeline folder: this VAE beside an untrained text encoder and UNet, which
`train.finetune` then trains.
"""

from roentgen.config import load_config
from roentgen.dataset.dataset import check_splits
from roentgen.diffusion.backbones.model_folder import check_model
from roentgen.errors import run_program
from roentgen.manifest import is_made
from train.vae.config import AutoencoderConfig


def main() -> None:
    """Read the configuration, train, and report the reconstruction of the test split."""
    config = load_config(AutoencoderConfig)
    if is_made("train.autoencoder", config, config.output):
        return
    check_splits(config.data, "train", "test")
    if config.init is not None:
        check_model(config.init)
    from train.vae.pipeline import make_autoencoder

    print(make_autoencoder(config))  # noqa: T201


if __name__ == "__main__":
    run_program(main)
