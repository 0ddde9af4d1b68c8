"""Train the shipped feature extractor: `python -m eval.train_extractor CONFIG.yaml`.

Findings and views are learned from labeled phantoms; the kind and strength of corruptions from
these and from unlabeled, usually real, radiographs. The layer below both is the feature: it sees
what a classifier of findings alone learns to overlook, such as blur.
"""

from eval.extractor.config import TrainExtractorConfig
from roentgen.config import load_config
from roentgen.dataset.dataset import check_splits
from roentgen.errors import run_program
from roentgen.manifest import is_made


def main() -> None:
    """Read the configuration and train."""
    config = load_config(TrainExtractorConfig)
    if is_made("eval.train_extractor", config, config.output):
        return
    for folder in (config.dataset, *config.unlabeled):
        check_splits(folder, config.train_split, config.validate_split)
    from eval.extractor.training import run

    run(config)


if __name__ == "__main__":
    run_program(main)
