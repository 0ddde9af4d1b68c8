"""Reference networks: classifiers of findings and laterality trained on real radiographs."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from eval.alignment.scores import alignment, demographic_accuracy, laterality_accuracy
from eval.config import ComparisonConfig
from roentgen.dataset.image_set import ImageSet
from roentgen.metrics.classification.finding_scores import resamples
from roentgen.metrics.estimates import Estimate, Floats, NotMeasured
from roentgen.record.radiograph import FindingName
from roentgen.vision.classifier import Classifier
from roentgen.vision.image_halves import (
    frontal_rows,
    labels_by_side,
    predict_by_side,
)
from roentgen.vision.linear_probe import DemographicProbes

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
            images,
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
            probabilities,
            requested,
            frontal.patients,
            c.findings,
            self.laterality_not_learned,
            c.min_cases,
        )
