"""Fine-tune Stable Diffusion on a radiograph dataset: UNet and text encoder together.

    python -m train.finetune configs/train/demo.yaml [--section.key=value ...]
    torchrun --nproc_per_node 2 -m train.finetune configs/train/demo.yaml

The run folder is described in `train.run`.
"""

from roentgen.config import load_config
from roentgen.dataset.dataset import check_splits
from roentgen.diffusion.backbones.model_folder import check_model
from roentgen.errors import run_program
from roentgen.manifest import is_made
from train.config import FinetuneConfig


def main() -> None:
    """Read the configuration and fine-tune."""
    config = load_config(FinetuneConfig)
    if is_made("train.finetune", config, config.output / "model"):
        return
    check_splits(config.data.folder, *config.splits())
    check_model(config.base)
    from train.finetuning import finetune

    finetune(config)


if __name__ == "__main__":
    run_program(main)
