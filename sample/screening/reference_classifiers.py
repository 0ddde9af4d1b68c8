"""Reference classifiers: trained on real radiographs to screen, and independent of screening."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from roentgen.dataset.dataset import RadiographDataset, check_patients_disjoint
from roentgen.dataset.image_set import ImageSet
from roentgen.dataset.label_arrays import label_matrix
from roentgen.distributed import this_launch
from roentgen.errors import InputError
from roentgen.randomness import numpy_generator
from roentgen.record.radiograph import FINDING_NAMES, FindingName
from roentgen.vision.classifier import (
    Classifier,
    load_classifier,
)
from roentgen.vision.image_halves import labeled_halves, laterality_not_learnable
from roentgen.vision.network_cache import NetworkCache
from sample.screening.config import ReferenceClassifierConfig, ReferenceConfig


def read_reference(
    dataset: RadiographDataset, config: ReferenceConfig
) -> tuple[ImageSet, ImageSet]:
    """The split that networks learn from, and the one that limits are set on.

    Raises InputError if a split is absent, or a patient is in both.
    """
    train, held_out = (dataset.split(name) for name in (config.train_split, config.held_out_split))
    names = (f"{dataset.folder}/{train.name}", f"{dataset.folder}/{held_out.name}")
    check_patients_disjoint(train.patients(), held_out.patients(), names)
    return ImageSet.of(train), ImageSet.of(held_out)


def split_by_patient(
    config: ReferenceClassifierConfig, train: ImageSet, seed: int
) -> tuple[ImageSet, ImageSet | None]:
    """The radiographs to train the reference and the independent classifier on."""
    share = config.independent_share
    if share is None:
        return train, None
    names = sorted(set(train.patients))
    count = min(max(1, round(share * len(names))), len(names) - 1)
    chosen = set(numpy_generator(seed, "audit").permutation(names)[:count].tolist())
    independent = np.array([patient in chosen for patient in train.patients])
    return train.take(np.flatnonzero(~independent)), train.take(np.flatnonzero(independent))


def reference_classifier(
    config: ReferenceClassifierConfig,
    findings: Sequence[FindingName],
    images: ImageSet,
    caches: Path,
    seed: int,
) -> Classifier:
    """The saved classifier, or one trained on these radiographs.

    Raises InputError for findings that it does not know.
    """
    if config.folder is None:
        return trained(config, findings, images, caches, seed)
    classifier = load_classifier(config.folder, this_launch().device())
    unknown = [name for name in findings if name not in classifier.spec.findings]
    if unknown:
        raise InputError(
            f"labels: the classifier in {config.folder} does not know "
            f"{', '.join(unknown)}, "
            f"which prompts request; it knows {', '.join(classifier.spec.findings)}: name the "
            "findings to check in labels.findings, or set reference_classifier.folder: null to "
            "train one"
        )
    return classifier


def check_cases(
    config: ReferenceClassifierConfig, findings: Sequence[FindingName], images: ImageSet
) -> None:
    """Raise InputError for a finding of which these radiographs have too few cases to learn it."""
    labels = label_matrix(images.radiographs, findings, config.not_mentioned)
    for j, name in enumerate(findings):
        for state in (1, 0):
            count = int((labels[:, j] == state).sum())
            if count < config.min_cases:
                raise InputError(
                    f"labels: only {count} of {len(images.radiographs)} real radiographs to train "
                    f"on have {name} {'present' if state else 'absent'} (at least "
                    f"{config.min_cases} needed): name the findings to check in labels.findings, "
                    "set reference_classifier.independent_share: null, or give more radiographs"
                )


def trained(
    config: ReferenceClassifierConfig,
    findings: Sequence[FindingName],
    images: ImageSet,
    caches: Path,
    seed: int,
) -> Classifier:
    """A classifier of findings (all if none is named) and views, trained on these radiographs."""
    labeled = images.labeled(findings or FINDING_NAMES, config.not_mentioned)
    return NetworkCache(folder=caches, progress=True).classifier(labeled, config.classifier, seed)


def laterality_network(
    config: ReferenceClassifierConfig,
    findings: Sequence[FindingName],
    images: ImageSet,
    caches: Path,
    seed: int,
) -> Classifier:
    """A classifier of the halves of these radiographs, for laterality."""
    halves = labeled_halves(images.labeled(findings, config.not_mentioned))
    few = laterality_not_learnable(halves.by_image, findings, config.min_cases)
    for name, missing in few.items():
        raise InputError(
            f"laterality: {name} on one side: {missing.reason}: name the findings to check in "
            "laterality.findings"
        )
    return NetworkCache(folder=caches, progress=True).classifier(halves, config.classifier, seed)
