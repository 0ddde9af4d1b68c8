"""Reference networks: classifiers of findings and laterality trained on real radiographs."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.alignment.reference_limits import demographics_not_told, not_told
from eval.alignment.scores import alignment, demographic_accuracy, laterality_accuracy
from eval.alignment.view_scores import WithoutViews, rows_of_seen_views, view_aurocs
from eval.config import ComparisonConfig
from roentgen.dataset.image_set import ImageSet
from roentgen.metrics.classification.finding_scores import resamples
from roentgen.metrics.estimates import Estimate, Floats, NotMeasured
from roentgen.record.finding import FindingName
from roentgen.vision.classifier import Classifier, Prediction
from roentgen.vision.image_halves import (
    frontal_rows,
    labels_by_side,
    predict_by_side,
)
from roentgen.vision.linear_probe import DemographicProbes

SEED = 0  # of their training


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What the networks read in N images."""

    images: ImageSet
    prediction: Prediction
    features: NDArray[np.float32]  # N, d
    sides: Floats  # M, findings, 2: of the images of `frontal`
    frontal: ImageSet  # of views that the networks have seen


@dataclass(frozen=True, kw_only=True)
class ReferenceNetworks:
    """The networks and probes of real radiographs, to measure any set by.

    What they have not learned, or do not tell on held-out radiographs, is not measured.
    """

    config: ComparisonConfig
    findings: Classifier
    not_learned: dict[FindingName, NotMeasured]
    never_seen: WithoutViews
    thresholds: dict[
        FindingName, float | NotMeasured
    ]  # from which on a finding is predicted present
    laterality: Classifier | None  # of image halves
    laterality_not_learned: dict[FindingName, NotMeasured]
    demographics: DemographicProbes
    views_not_told: WithoutViews

    def read(self, images: ImageSet) -> Reading:
        """The networks' predictions of one set."""
        frontal = self._seen(images)
        frontal = frontal.take(frontal_rows(frontal.radiographs))
        sides: Floats = np.zeros((len(frontal), len(self.config.findings), 2))
        if self.laterality is not None and len(frontal):
            sides = predict_by_side(self.laterality, frontal.images)
        return Reading(
            images=images,
            prediction=self.findings.predict(images.images),
            features=self.findings.features(images.images),
            sides=sides,
            frontal=frontal,
        )

    def verified(self, held_out: Reading) -> "ReferenceNetworks":
        """The same networks, without what they do not tell on these held-out radiographs."""
        c, images = self.config, held_out.images
        found = self.measure(held_out)
        views = view_aurocs(
            held_out.prediction.views,
            images.views,
            images.patients,
            resamples(images.patients, c.bootstrap, c.seed),
            self.never_seen,
            c.min_cases,
        )
        probes = self.demographics
        return replace(
            self,
            not_learned={**not_told(found["auroc"], "AUROC"), **self.not_learned},
            views_not_told=not_told(views, "AUROC"),
            laterality_not_learned={
                **not_told(found["laterality_accuracy"], "accuracy"),
                **self.laterality_not_learned,
            },
            demographics=replace(
                probes, not_learned={**demographics_not_told(found), **probes.not_learned}
            ),
        )

    def measure(self, reading: Reading) -> dict[str, Any]:
        """Agreement of one set with its requests, for results.json."""
        c, images = self.config, reading.images
        result = alignment(
            reading.prediction,
            images,
            self.not_learned,
            never_seen=self.never_seen,
            views_not_told=self.views_not_told,
            thresholds=self.thresholds,
            min_cases=c.min_cases,
            samples=c.bootstrap,
            seed=c.seed,
        )
        rows = rows_of_seen_views(images.views, self.never_seen)
        seen = images.take(rows)
        weights = resamples(seen.patients, c.bootstrap, c.seed)
        result |= demographic_accuracy(
            self.demographics, reading.features[rows], seen.radiographs, weights
        )
        result["laterality_accuracy"] = self._laterality(reading)
        return result

    def _seen(self, images: ImageSet) -> ImageSet:
        return images.take(rows_of_seen_views(images.views, self.never_seen))

    def _laterality(self, reading: Reading) -> dict[str, Estimate]:
        c, frontal = self.config, reading.frontal
        requested = labels_by_side(frontal.radiographs, c.findings, c.not_mentioned)
        return laterality_accuracy(
            reading.sides,
            requested,
            frontal.patients,
            c.findings,
            self.laterality_not_learned,
            c.min_cases,
        )
