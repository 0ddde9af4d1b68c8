"""Fidelity of a model's VAE: `python -m eval.reconstruction configs/eval/reconstruction.yaml`.

A latent diffusion model cannot generate detail that its VAE loses. Held-out images are encoded and
decoded: PSNR measures the loss, and the AUROC of a classifier trained on original images whether
their findings can still be read. Writes reconstruction.json and reconstruction.png (originals
beside their reconstructions).
"""

from eval.config import ReconstructionConfig
from roentgen.config import load_config
from roentgen.dataset.dataset import check_splits
from roentgen.diffusion.backbones.model_folder import check_model
from roentgen.errors import run_program
from roentgen.manifest import is_made


def main() -> None:
    """Read the configuration, measure, and print."""
    config = load_config(ReconstructionConfig)
    if is_made("eval.reconstruction", config, config.output):
        return
    check_model(config.model)
    for part in (config.reference.train, config.reference.test):
        check_splits(part.folder, part.split)
    from eval.vae_fidelity import measure

    measure(config)


if __name__ == "__main__":
    run_program(main)
