"""Real films and the networks that learn from them: the proxy, and the one that audits it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from roentgen.dataset.dataset import RadiographDataset, check_patients_disjoint
from roentgen.dataset.image_set import ImageSet
from roentgen.dataset.label_arrays import label_matrix
from roentgen.distributed import this_launch
from roentgen.errors import InputError
from roentgen.randomness import numpy_generator
from roentgen.record.findings import FINDING_NAMES, FindingName
from roentgen.vision.classifier import (
    Classifier,
    load_classifier,
)
from roentgen.vision.image_halves import labeled_halves, laterality_not_learnable
from roentgen.vision.network_cache import NetworkCache
from sample.screening.config import ProxyConfig, ReferenceConfig


def read_films(dataset: RadiographDataset, config: ReferenceConfig) -> tuple[ImageSet, ImageSet]:
    """The split that networks learn from, and the one that limits are set on.

    Raises InputError if a split is absent, or a patient is in both.
    """
    train, held_out = (dataset.split(name) for name in (config.train_split, config.held_out_split))
    names = (f"{dataset.folder}/{train.name}", f"{dataset.folder}/{held_out.name}")
    check_patients_disjoint(train.patients(), held_out.patients(), names)
    return ImageSet.of(train), ImageSet.of(held_out)


def proxy_and_auditor(
    config: ProxyConfig, train: ImageSet, seed: int
) -> tuple[ImageSet, ImageSet | None]:
    """The films that the proxy learns from, and other patients' that its auditor learns from."""
    share = config.audit_share
    if share is None:
        return train, None
    names = sorted(set(train.patients))
    count = min(max(1, round(share * len(names))), len(names) - 1)
    chosen = set(numpy_generator(seed, "audit").permutation(names)[:count].tolist())
    theirs = np.array([patient in chosen for patient in train.patients])
    return train.take(np.flatnonzero(~theirs)), train.take(np.flatnonzero(theirs))


def the_proxy(
    config: ProxyConfig, findings: Sequence[FindingName], films: ImageSet, caches: Path, seed: int
) -> Classifier:
    """The saved network, or one that learns from these films.

    Raises InputError for findings that it does not know.
    """
    if config.folder is None:
        return trained(config, findings, films, caches, seed)
    proxy = load_classifier(config.folder, this_launch().device())
    lacking = [name for name in findings if name not in proxy.spec.findings]
    if lacking:
        raise InputError(
            f"labels: the classifier in {config.folder} does not know {', '.join(lacking)}, "
            f"which prompts ask for; it knows {', '.join(proxy.spec.findings)}: name the "
            "findings to judge in labels.findings, or set proxy.folder: null to train one"
        )
    return proxy


def check_cases(config: ProxyConfig, findings: Sequence[FindingName], films: ImageSet) -> None:
    """Raise InputError for a finding that these films have too few of to learn it from."""
    labels = label_matrix(films.radiographs, findings, config.not_mentioned)
    for j, name in enumerate(findings):
        for state in (1, 0):
            count = int((labels[:, j] == state).sum())
            if count < config.min_cases:
                raise InputError(
                    f"labels: only {count} of {len(films.radiographs)} real films to learn from "
                    f"have {name} {'present' if state else 'absent'} (at least {config.min_cases} "
                    "needed): name the findings to judge in labels.findings, set "
                    "proxy.audit_share: null, or give more films"
                )


def trained(
    config: ProxyConfig, findings: Sequence[FindingName], films: ImageSet, caches: Path, seed: int
) -> Classifier:
    """A network that learns findings, all if none is named, and views from these films."""
    labeled = films.labeled(findings or FINDING_NAMES, config.not_mentioned)
    return NetworkCache(folder=caches, progress=True).classifier(labeled, config.classifier, seed)


def side_network(
    config: ProxyConfig, findings: Sequence[FindingName], films: ImageSet, caches: Path, seed: int
) -> Classifier:
    """A network that learns from each half of frontal films what is present in it."""
    halves = labeled_halves(films.labeled(findings, config.not_mentioned))
    few = laterality_not_learnable(halves.by_image, findings, config.min_cases)
    for name, missing in few.items():
        raise InputError(
            f"sides: {name} on one side: {missing.reason}: name the findings to judge in "
            "sides.findings"
        )
    return NetworkCache(folder=caches, progress=True).classifier(halves, config.classifier, seed)
