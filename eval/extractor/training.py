"""Training of the embedded feature extractor."""

from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from eval.alignment.scores import alignment
from eval.extractor.config import TrainExtractorConfig
from eval.extractor.corrupted_batches import KINDS, CorruptedBatches
from eval.report.section import number
from eval.sets import read_set
from roentgen.cpu.threads import choose_threads
from roentgen.dataset.dataset import open_dataset
from roentgen.dataset.image_set import ImageSet, check_one_size
from roentgen.manifest import (
    fingerprint_of_files,
    inherit_licenses,
    provenance,
    write_manifest,
)
from roentgen.metrics.classification.finding_scores import not_learnable
from roentgen.metrics.classification.ranking import auroc
from roentgen.randomness import numpy_generator, torch_generator
from roentgen.record.finding import FINDING_NAMES
from roentgen.storage import atomic_folder, check_writable
from roentgen.terminal.progress import Progress
from roentgen.vision.classifier import (
    SPEC_FILE,
    WEIGHTS_FILE,
    Classifier,
    augment,
    initialized,
    masked_loss,
    minimize,
    spec_of,
    to_input,
)
from roentgen.vision.features.corruptions import CORRUPTIONS, corrupt

_MIN_CASES = 20
_MILD = 0.25  # strength at which corruptions are read in the printed scores


def run(config: TrainExtractorConfig) -> None:
    """Train, print the scores of the held-out split, and write the weights."""
    check_writable(config.output)
    train, held_out = (
        [_read(config, folder, split) for folder in (config.dataset, *config.unlabeled)]
        for split in (config.train_split, config.validate_split)
    )
    check_one_size(*train)
    threads = choose_threads()
    with atomic_folder(config.output, overwrite=config.overwrite) as folder:
        classifier, head = train_extractor(config, train)
        scores = _scores(config, classifier, train[0], held_out[0])
        if config.corruptions is not None:
            scores |= corruption_scores(classifier, head, held_out, config.seed)
        classifier.save(folder)
        roles = ("dataset", *(f"unlabeled {number}" for number in range(1, len(train))))
        write_manifest(
            folder,
            "model",
            fingerprint_of_files([folder / SPEC_FILE, folder / WEIGHTS_FILE]),
            _licenses(train),
            provenance(
                "eval.train_extractor",
                config,
                {role: of.dataset.manifest for role, of in zip(roles, train, strict=True)},
                threads,
            ),
            scores=scores,
            trained_on=_sources(train),
        )
    for name, value in scores.items():
        print(f"{name}: {value if isinstance(value, str) else number(value)}")  # noqa: T201
    print(config.output)  # noqa: T201


def _read(config: TrainExtractorConfig, folder: Path, split: str) -> ImageSet:
    dataset = open_dataset(folder)
    dataset.disjoint_splits(config.train_split, config.validate_split)
    name, not_mentioned = f"{split} of {folder}", config.not_mentioned
    return read_set(name, dataset, [split], findings=FINDING_NAMES, not_mentioned=not_mentioned)


def train_extractor(
    config: TrainExtractorConfig, train: list[ImageSet]
) -> tuple[Classifier, nn.Linear]:
    """The classifier, and the head that reads corruptions from its features if they are learned.

    Each step has a batch of labeled images for findings and views, and one of corrupted images.
    """
    labeled = train[0]
    spec = spec_of(labeled.images, FINDING_NAMES, config.classifier)
    network = initialized(spec, config.classifier.pretrained, config.seed)
    network.train().to(memory_format=torch.channels_last)
    head = nn.Linear(network.dimension, len(KINDS))
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    draws = torch_generator(config.seed, "classifier", "augmentation")
    pixels = [images.images[:] for images in train]
    corruptions = config.corruptions
    corrupted = CorruptedBatches(pixels, corruptions, config.seed) if corruptions else None

    def loss_of(rows: NDArray[np.int64]) -> Tensor:
        x = augment(to_input(pixels[0][rows]), config.classifier, draws)
        targets = torch.from_numpy(labeled.labels[rows]), torch.from_numpy(labeled.views[rows])
        loss = masked_loss(network(x), *targets)
        if corruptions is None or corrupted is None:
            return loss
        batch = corrupted.draw()
        logits = head(network.features(to_input(batch.images)))
        strengths = torch.from_numpy(batch.strengths)
        wrong = functional.binary_cross_entropy_with_logits(logits, strengths, reduction="sum")
        return loss + corruptions.weight * wrong / len(logits)

    with Progress(config.classifier.steps, "train", "step") as bar:

        def watch(step: int, loss: float) -> None:
            bar.update()
            if step % 20 == 0:
                bar.note(f"loss {loss:.3f}")

        parameters = chain(network.parameters(), head.parameters() if corrupted else ())
        minimize(loss_of, parameters, len(labeled), config.classifier, config.seed, watch)
    return Classifier(network, spec), head


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


def corruption_scores(
    classifier: Classifier, head: nn.Linear, held_out: list[ImageSet], seed: int
) -> dict[str, float | str]:
    """AUROC of each kind at a quarter of its strength against the same images without it."""
    images = np.concatenate([item.images[:] for item in held_out])
    generator = numpy_generator(seed, "extractor", "corruption scores")

    def read(pixels: NDArray[np.uint8], kind: int) -> NDArray[np.float64]:
        features = torch.from_numpy(classifier.features(pixels))
        logits: NDArray[np.float64] = head(features)[:, kind].detach().double().numpy()
        return logits

    result: dict[str, float | str] = {}
    is_corrupted = np.arange(2 * len(images)) >= len(images)
    for kind, name in enumerate(CORRUPTIONS):
        changed = np.stack([corrupt(image, name, _MILD, generator) for image in images])
        logits = np.concatenate([read(pixels, kind) for pixels in (images, changed)])
        result[f"{name} at a quarter of its strength"] = auroc(logits, is_corrupted)
    return result


def _licenses(sets: list[ImageSet]) -> list[dict[str, Any]]:
    """The licenses of the images that were trained on, without others of their datasets."""
    used = {radiograph.license for images in sets for radiograph in images.radiographs}
    every = inherit_licenses(*(images.dataset.manifest for images in sets))
    return [terms for terms in every if terms["name"] in used]


def _sources(sets: list[ImageSet]) -> list[Mapping[str, Any]]:
    """Each source of the images that were trained on, with its license and number of images."""
    found = [(r.source, r.license) for images in sets for r in images.radiographs]
    return [
        {"source": source, "license": terms, "images": found.count((source, terms))}
        for source, terms in sorted(set(found))
    ]
