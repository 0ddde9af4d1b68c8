"""Train the shipped feature extractor: `python -m eval.train_extractor CONFIG.yaml`."""

from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from eval.alignment.scores import alignment
from eval.report.section import number
from eval.sets import read_set
from roentgen.config import load_config
from roentgen.dataset.dataset import open_dataset
from roentgen.dataset.image_set import ImageSet
from roentgen.dataset.label_arrays import NotMentioned
from roentgen.errors import run_program
from roentgen.manifest import fingerprint_of_files, provenance, write_manifest
from roentgen.metrics.classification.finding_scores import not_learnable
from roentgen.record.radiograph import FINDING_NAMES
from roentgen.storage import atomic_folder, check_writable
from roentgen.vision.classifier import (
    SPEC_FILE,
    WEIGHTS_FILE,
    Classifier,
    ClassifierConfig,
    train_classifier,
)

_MIN_CASES = 20


@dataclass(frozen=True, kw_only=True)
class TrainExtractorConfig:
    """Settings of the extractor's training."""

    dataset: Path
    """A radiograph dataset, usually phantoms; its image size becomes the extractor's."""
    output: Path
    """New folder for the weights."""
    train_split: str = "train"
    """Split to train on."""
    validate_split: str = "validate"
    """Split for the printed scores."""
    not_mentioned: NotMentioned = "ignore"
    """A finding that is not mentioned: "ignore" it, or count it as "absent"."""
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)
    """The network and its training."""
    seed: int = 0
    """Of weights, order and augmentation."""
    overwrite: bool = False
    """Replace the output folder."""


def main() -> None:
    """The program."""
    config = load_config(TrainExtractorConfig)
    check_writable(config.output)
    dataset = open_dataset(config.dataset)
    splits, not_mentioned = (config.train_split, config.validate_split), config.not_mentioned
    dataset.disjoint_splits(*splits)
    train, held_out = (
        read_set(split, dataset, [split], findings=FINDING_NAMES, not_mentioned=not_mentioned)
        for split in splits
    )
    with atomic_folder(config.output, overwrite=config.overwrite) as folder:
        classifier = _train(config, train)
        scores = _scores(config, classifier, train, held_out)
        classifier.save(folder)
        write_manifest(
            folder,
            "model",
            fingerprint_of_files([folder / SPEC_FILE, folder / WEIGHTS_FILE]),
            dataset.licenses,
            provenance("eval.train_extractor", config, {"dataset": dataset.manifest}),
            scores=scores,
        )
    for name, value in scores.items():
        print(f"{name}: {value if isinstance(value, str) else number(value)}")  # noqa: T201
    print(config.output)  # noqa: T201


def _train(config: TrainExtractorConfig, train: ImageSet) -> Classifier:
    with tqdm(total=config.classifier.steps, unit="step") as bar:

        def watch(step: int, loss: float) -> None:
            bar.update()
            if step % 20 == 0:
                bar.set_postfix(loss=f"{loss:.3f}")

        return train_classifier(
            train.images,
            train.labels,
            train.views,
            findings=FINDING_NAMES,
            config=config.classifier,
            seed=config.seed,
            watch=watch,
        )


def _scores(
    config: TrainExtractorConfig, classifier: Classifier, train: ImageSet, held_out: ImageSet
) -> dict[str, float | str]:
    """AUROC of each finding and the view accuracy on held-out images, or why there is none."""
    scores = alignment(
        classifier.predict(held_out.images),
        held_out,
        not_learnable(train.labels, train.patients, FINDING_NAMES, _MIN_CASES),
        min_cases=_MIN_CASES,
        samples=20,
        seed=config.seed,
    )
    measured = {**scores["auroc"], "view accuracy": scores["view_accuracy"]}
    return {
        name: estimate.note if estimate.value is None else estimate.value
        for name, estimate in measured.items()
    }


if __name__ == "__main__":
    run_program(main)
