"""Train a ControlNet that draws what masks show, for a fine-tuned model that stays as it is.

    accelerate launch -m train.controlnet configs/train/controlnet.yaml [--section.key=value ...]

The run folder is described in `train.run`; its model/ is opened by
`StableDiffusionControlNetPipeline.from_pretrained`; best/ has the weights of the best Dice with
held-out masks.
"""

from roentgen.config import load_config
from roentgen.errors import run_program
from train.config import ControlnetConfig


def main() -> None:
    """Read the configuration and train."""
    config = load_config(ControlnetConfig)
    from train.controlnet_training import train_controlnet

    train_controlnet(config)


if __name__ == "__main__":
    run_program(main)
