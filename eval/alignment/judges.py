"""The judges of alignment: networks trained on real films, which say what an image shows."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from eval.alignment.config import AlignmentConfig
from eval.alignment.demographics import demographic_accuracy
from eval.alignment.laterality import laterality_accuracy
from eval.alignment.scores import alignment
from eval.comparison_config import ComparisonConfig
from eval.networks.regimes import hold_out
from eval.sets import Sets
from roentgen.dataset.image_set import ImageSet
from roentgen.metrics.classification.finding_scores import not_learnable, resamples, thresholds_of
from roentgen.metrics.estimates import Estimate, Floats, NotMeasured
from roentgen.record.findings import FindingName
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

SEED = 0  # of the judges' training


@dataclass(frozen=True, kw_only=True)
class Judges:
    """All that was learnt from real films, to be asked about any set."""

    config: ComparisonConfig
    findings: Classifier
    not_learned: dict[FindingName, NotMeasured]  # the findings that it does not know
    thresholds: dict[FindingName, float | NotMeasured]  # from which on a finding is called
    laterality: Classifier | None  # of image halves
    laterality_not_learned: dict[FindingName, NotMeasured]
    demographics: DemographicProbes

    def measure(self, images: ImageSet) -> dict[str, Any]:
        """What of one set is as asked, for results.json."""
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


def judging_films(
    settings: AlignmentConfig, config: ComparisonConfig, sets: Sets
) -> tuple[ImageSet, ImageSet]:
    """The real films that judges learn from, and other patients' that thresholds are chosen on."""
    held_out, rest = hold_out(sets.train.patients, settings.validation, config.seed)
    return sets.train.take(rest), sets.train.take(held_out)


def finding_judge(settings: AlignmentConfig, config: ComparisonConfig, sets: Sets) -> Classifier:
    """The network that knows findings and views."""
    learnt, _ = judging_films(settings, config, sets)
    return NetworkCache(folder=config.caches_folder).classifier(learnt, config.classifier, SEED)


def side_judge(
    settings: AlignmentConfig, config: ComparisonConfig, sets: Sets
) -> Classifier | None:
    """The network that knows findings in one half of a film; None if no film tells their sides."""
    halves = labeled_halves(judging_films(settings, config, sets)[0])
    not_learned = laterality_not_learnable(halves.by_image, config.findings, config.min_cases)
    if len(not_learned) == len(config.findings):
        return None
    return NetworkCache(folder=config.caches_folder).classifier(halves, config.classifier, SEED)


def judges(settings: AlignmentConfig, config: ComparisonConfig, sets: Sets) -> Judges:
    """Both networks, and what is fitted to the first one's features."""
    learnt, validation = judging_films(settings, config, sets)
    network = finding_judge(settings, config, sets)
    said = network.predict(validation.images).findings
    by_side = labeled_halves(learnt).by_image
    return Judges(
        config=config,
        findings=network,
        not_learned=not_learnable(learnt.labels, config.findings, config.min_cases),
        thresholds=thresholds_of(said, validation.labels, config.findings, config.min_cases),
        laterality=side_judge(settings, config, sets),
        laterality_not_learned=laterality_not_learnable(by_side, config.findings, config.min_cases),
        demographics=fit_demographics(
            network.features(learnt.images), learnt.radiographs, config.min_cases
        ),
    )
