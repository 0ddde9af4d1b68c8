"""Train a ControlNet that draws what masks show, for a fine-tuned model that stays as it is.

    python -m train.controlnet configs/train/controlnet.yaml [--section.key=value ...]

The run folder is described in `train.run`; its model/ is opened by
`StableDiffusionControlNetPipeline.from_pretrained`; best/ has the weights of the best Dice with
held-out masks.
"""

from roentgen.config import load_config
from roentgen.dataset.dataset import check_splits
from roentgen.diffusion.backbones.model_folder import check_model
from roentgen.errors import run_program
from roentgen.manifest import is_made
from train.config import ControlnetConfig


def main() -> None:
    """Read the configuration and train."""
    config = load_config(ControlnetConfig)
    check_model(config.base)
    config = config.as_base()
    if is_made("train.controlnet", config, config.output / "model"):
        return
    check_splits(config.data.folder, *config.splits())
    from train.controlnet_training import train_controlnet

    train_controlnet(config)


if __name__ == "__main__":
    run_program(main)
