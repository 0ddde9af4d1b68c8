"""Reference networks: classifiers of findings and laterality trained on real radiographs."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from eval.alignment.scores import alignment, demographic_accuracy, laterality_accuracy
from eval.config import AlignmentConfig, ComparisonConfig
from eval.networks import hold_out
from eval.sets import Sets
from roentgen.dataset.image_set import ImageSet
from roentgen.metrics.classification.finding_scores import not_learnable, resamples, thresholds_of
from roentgen.metrics.estimates import Estimate, Floats, NotMeasured
from roentgen.record.radiograph import FindingName
from roentgen.vision.classifier import Classifier
from roentgen.vision.demographics import DemographicProbes, fit_demographics
from roentgen.vision.image_halves import (
    frontal_rows,
    labeled_halves,
    labels_by_side,
    laterality_not_learnable,
    predict_by_side,
)
from roentgen.vision.network_cache import NetworkCache

SEED = 0  # of their training


@dataclass(frozen=True, kw_only=True)
class ReferenceNetworks:
    """The networks and probes of real radiographs, to measure any set by."""

    config: ComparisonConfig
    findings: Classifier
    not_learned: dict[FindingName, NotMeasured]  # the findings that it has not learned
    thresholds: dict[
        FindingName, float | NotMeasured
    ]  # from which on a finding is predicted present
    laterality: Classifier | None  # of image halves
    laterality_not_learned: dict[FindingName, NotMeasured]
    demographics: DemographicProbes

    def measure(self, images: ImageSet) -> dict[str, Any]:
        """Agreement of one set with its requests, for results.json."""
        c = self.config
        result = alignment(
            self.findings.predict(images.images),
            images.labels,
            images.views,
            images.patients,
            c.findings,
            self.not_learned,
            thresholds=self.thresholds,
            min_cases=c.min_cases,
            samples=c.bootstrap,
            seed=c.seed,
        )
        weights = resamples(images.patients, c.bootstrap, c.seed)
        features = self.findings.features(images.images)
        result |= demographic_accuracy(self.demographics, features, images.radiographs, weights)
        result["laterality_accuracy"] = self._laterality(images)
        return result

    def _laterality(self, images: ImageSet) -> dict[str, Estimate]:
        c = self.config
        frontal = images.take(frontal_rows(images.radiographs))
        probabilities: Floats = np.zeros((len(frontal), len(c.findings), 2))
        if self.laterality is not None and len(frontal):
            probabilities = predict_by_side(self.laterality, frontal.images)
        requested = labels_by_side(frontal.radiographs, c.findings, c.not_mentioned)
        return laterality_accuracy(
            probabilities, requested, c.findings, self.laterality_not_learned, c.min_cases
        )


def split_train(
    settings: AlignmentConfig, config: ComparisonConfig, sets: Sets
) -> tuple[ImageSet, ImageSet]:
    """The radiographs to train on, and other patients' that thresholds are chosen on."""
    held_out, rest = hold_out(sets.train.patients, settings.validation, config.seed)
    return sets.train.take(rest), sets.train.take(held_out)


def finding_classifier(
    settings: AlignmentConfig, config: ComparisonConfig, sets: Sets
) -> Classifier:
    """The classifier of findings and views."""
    training, _ = split_train(settings, config, sets)
    return NetworkCache(folder=config.caches_folder).classifier(training, config.classifier, SEED)


def laterality_classifier(
    settings: AlignmentConfig, config: ComparisonConfig, sets: Sets
) -> Classifier | None:
    """The classifier of image halves; None if no finding's side can be learned."""
    halves = labeled_halves(split_train(settings, config, sets)[0])
    not_learned = laterality_not_learnable(halves.by_image, config.findings, config.min_cases)
    if len(not_learned) == len(config.findings):
        return None
    return NetworkCache(folder=config.caches_folder).classifier(halves, config.classifier, SEED)


def reference_networks(
    settings: AlignmentConfig, config: ComparisonConfig, sets: Sets
) -> ReferenceNetworks:
    """Both classifiers, thresholds, and probes of the first one's features."""
    training, validation = split_train(settings, config, sets)
    network = finding_classifier(settings, config, sets)
    scores = network.predict(validation.images).findings
    by_side = labeled_halves(training).by_image
    return ReferenceNetworks(
        config=config,
        findings=network,
        not_learned=not_learnable(training.labels, config.findings, config.min_cases),
        thresholds=thresholds_of(scores, validation.labels, config.findings, config.min_cases),
        laterality=laterality_classifier(settings, config, sets),
        laterality_not_learned=laterality_not_learnable(by_side, config.findings, config.min_cases),
        demographics=fit_demographics(
            network.features(training.images), training.radiographs, config.min_cases
        ),
    )
