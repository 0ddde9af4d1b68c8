"""Generation program: `python -m sample.generate configs/sample/x.yaml`.

First the plan is made, one row per image; then it is drawn part by part. The same command resumes a
killed run after its finished parts. Under `accelerate launch` and `torchrun`, the processes of all
machines that see the output folder divide the parts among them; the set is that of one process.
"""

from roentgen.config import load_config
from roentgen.dataset.dataset import check_splits
from roentgen.diffusion.backbones.model_folder import check_model
from roentgen.errors import run_program
from roentgen.manifest import is_made
from sample.config import GenerateConfig


def main() -> None:
    """Read the configuration, generate, and print the output folder."""
    config = load_config(GenerateConfig)
    if is_made("sample.generate", config, config.output):
        return
    check_model(config.model)
    if source := config.prompts.source:
        check_splits(source.folder, source.split)
    from sample.generation import run

    run(config)


if __name__ == "__main__":
    run_program(main)
