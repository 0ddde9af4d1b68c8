"""The judges of alignment: networks trained on real films, which say what an image shows."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from eval.alignment.config import AlignmentConfig
from eval.alignment.demographics import PatientProbes, patient_probes, patients_as_asked
from eval.alignment.laterality import side_accuracy, sides_not_learnable
from eval.alignment.scores import alignment
from eval.comparison_config import ComparisonConfig
from eval.finding_scores import not_learnable, resamples, thresholds_of
from eval.networks.regimes import hold_out
from eval.sets import Sets
from roentgen.dataset.image_set import ImageSet
from roentgen.metrics.estimates import Estimate, Floats, NotMeasured
from roentgen.record.findings import FindingName
from roentgen.vision.classifier import Classifier
from roentgen.vision.half_films import HalfImages, Halves, half_images, shows_sides, side_labels
from roentgen.vision.network_cache import NetworkCache

SEED = 0  # of the judges' training


@dataclass(frozen=True, kw_only=True)
class Judges:
    """All that was learnt from real films, to be asked about any set."""

    config: ComparisonConfig
    findings: Classifier
    not_learned: dict[FindingName, NotMeasured]  # the findings that it does not know
    thresholds: dict[FindingName, float | NotMeasured]  # from which on a finding is called
    sides: Classifier | None
    sides_not_learned: dict[FindingName, NotMeasured]
    patients: PatientProbes

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
        result |= patients_as_asked(self.patients, features, images.radiographs, weights)
        result["side_accuracy"] = self._sides(images)
        return result

    def _sides(self, images: ImageSet) -> dict[str, Estimate]:
        c = self.config
        frontal = images.take(shows_sides(images.radiographs))
        said: Floats = np.zeros((len(frontal), len(c.findings), 2))
        if self.sides is not None and len(frontal):
            halves = self.sides.predict(Halves(frontal.images)).findings
            said = halves.reshape(len(frontal), 2, -1).transpose(0, 2, 1)
        asked = side_labels(frontal.radiographs, c.findings, c.not_mentioned)
        return side_accuracy(said, asked, c.findings, self.sides_not_learned, c.min_cases)


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
    halves, not_learned = _halves(config, judging_films(settings, config, sets)[0])
    if len(not_learned) == len(config.findings):
        return None
    return NetworkCache(folder=config.caches_folder).classifier(halves, config.classifier, SEED)


def judges(settings: AlignmentConfig, config: ComparisonConfig, sets: Sets) -> Judges:
    """Both networks, and what is fitted to the first one's features."""
    learnt, validation = judging_films(settings, config, sets)
    network = finding_judge(settings, config, sets)
    said = network.predict(validation.images).findings
    _, sides_not_learned = _halves(config, learnt)
    return Judges(
        config=config,
        findings=network,
        not_learned=not_learnable(learnt.labels, config.findings, config.min_cases),
        thresholds=thresholds_of(said, validation.labels, config.findings, config.min_cases),
        sides=side_judge(settings, config, sets),
        sides_not_learned=sides_not_learned,
        patients=patient_probes(
            network.features(learnt.images), learnt.radiographs, config.min_cases
        ),
    )


def _halves(
    config: ComparisonConfig, films: ImageSet
) -> tuple[HalfImages, dict[FindingName, NotMeasured]]:
    """Both halves of each frontal film, and the findings whose side cannot be learned from them."""
    halves = half_images(films)
    return halves, sides_not_learnable(halves.by_image, config.findings, config.min_cases)
