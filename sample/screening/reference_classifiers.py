"""Reference classifiers: trained on real radiographs to screen, and independent of screening."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from roentgen.dataset.dataset import RadiographDataset
from roentgen.dataset.image_set import ImageSet
from roentgen.dataset.label_arrays import label_matrix
from roentgen.distributed import this_launch
from roentgen.errors import InputError
from roentgen.randomness import numpy_generator
from roentgen.record.finding import FINDING_NAMES, FindingName
from roentgen.vision.classifier import Classifier, load_classifier
from roentgen.vision.image_halves import labeled_halves, laterality_not_learnable
from roentgen.vision.network_cache import NetworkCache
from sample.screening.config import ReferenceClassifierConfig, ReferenceConfig


def read_reference(
    dataset: RadiographDataset, config: ReferenceConfig
) -> tuple[ImageSet, ImageSet]:
    """The split that networks learn from, and the one that limits are set on.

    Raises InputError if a split is absent, or a patient is in both.
    """
    train, held_out = dataset.disjoint_splits(config.train_split, config.held_out_split)
    return ImageSet.of(train), ImageSet.of(held_out)


@dataclass(frozen=True, kw_only=True)
class ReferenceClassifiers:
    """Classifiers that are trained on real radiographs unless they are cached."""

    config: ReferenceClassifierConfig
    cache: NetworkCache
    seed: int

    def split_by_patient(self, train: ImageSet) -> tuple[ImageSet, ImageSet | None]:
        """The radiographs to train the reference and the independent classifier on."""
        share = self.config.independent_share
        if share is None:
            return train, None
        names = sorted(set(train.patients))
        count = min(max(1, round(share * len(names))), len(names) - 1)
        chosen = set(numpy_generator(self.seed, "audit").permutation(names)[:count].tolist())
        independent = np.array([patient in chosen for patient in train.patients])
        return train.take(np.flatnonzero(~independent)), train.take(np.flatnonzero(independent))

    def check_cases(self, findings: Sequence[FindingName], images: ImageSet) -> None:
        """Raise InputError for a finding of which these radiographs have too few cases."""
        least = self.config.min_cases
        labels = label_matrix(images.radiographs, findings, self.config.not_mentioned)
        for j, name in enumerate(findings):
            for state in (1, 0):
                count = int((labels[:, j] == state).sum())
                if count < least:
                    raise InputError(
                        f"labels: only {count} of {len(images.radiographs)} real radiographs to "
                        f"train on have {name} {'present' if state else 'absent'} (at least "
                        f"{least} needed): name the findings to check in labels.findings, "
                        "set reference_classifier.independent_share: null, or give more radiographs"
                    )

    def reference(self, findings: Sequence[FindingName], images: ImageSet) -> Classifier:
        """The saved classifier, or one trained on these radiographs.

        Raises InputError for findings that it does not know.
        """
        folder = self.config.folder
        if folder is None:
            return self.trained(findings, images, self.seed)
        classifier = load_classifier(folder, this_launch().device())
        unknown = [name for name in findings if name not in classifier.spec.findings]
        if unknown:
            raise InputError(
                f"labels: the classifier in {folder} does not know {', '.join(unknown)}, "
                f"which prompts request; it knows {', '.join(classifier.spec.findings)}: name the "
                "findings to check in labels.findings, or set reference_classifier.folder: null to "
                "train one"
            )
        return classifier

    def trained(self, findings: Sequence[FindingName], images: ImageSet, seed: int) -> Classifier:
        """A classifier of findings (all if none is named) and views of these radiographs."""
        labeled = images.labeled(findings or FINDING_NAMES, self.config.not_mentioned)
        return self.cache.classifier(labeled, self.config.classifier, seed)

    def laterality(self, findings: Sequence[FindingName], images: ImageSet) -> Classifier:
        """A classifier of the halves of these radiographs."""
        halves = labeled_halves(images.labeled(findings, self.config.not_mentioned))
        few = laterality_not_learnable(
            halves.by_image, halves.patients, findings, self.config.min_cases
        )
        for name, missing in few.items():
            raise InputError(
                f"laterality: {name} on one side: {missing.reason}: name the findings to check in "
                "laterality.findings"
            )
        return self.cache.classifier(halves, self.config.classifier, self.seed)
