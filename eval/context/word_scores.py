"""Context words read from images: how well a probe of real radiographs tells who has which."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from eval.config import ComparisonConfig
from eval.context.context_arrays import Answers
from eval.finding_probes import STRENGTH
from eval.report.verdict import status_above
from roentgen.metrics.classification.calibration import ece_floor, weighted_ece
from roentgen.metrics.classification.finding_scores import (
    Metric,
    finding_scores,
    not_learnable,
    resamples,
)
from roentgen.metrics.classification.ranking import weighted_auroc
from roentgen.metrics.estimates import Estimate, Floats, NotMeasured
from roentgen.randomness import numpy_generator
from roentgen.vision.linear_probe import Probe, fit_logistic

CHANCE = 0.5  # of AUROC


@dataclass(frozen=True, kw_only=True)
class WordProbes:
    """Linear probes of image features for each word; None for those that cannot be learned."""

    words: tuple[str, ...]
    probes: tuple[Probe | None, ...]
    not_learned: Mapping[str, NotMeasured]

    def __call__(self, features: NDArray[np.floating]) -> Floats:
        """Probabilities (N, words) of features (N, d); of a word without a probe 0."""
        result = np.zeros((len(features), len(self.words)))
        for column, probe in enumerate(self.probes):
            if probe is not None:
                result[:, column] = expit(probe(features))
        return result


def fit_word_probes(
    features: NDArray[np.floating],
    answers: Answers,
    patients: Sequence[str],
    words: Sequence[str],
    min_cases: int,
) -> WordProbes:
    """Probes of features (N, d) for answers (N, words)."""
    missing = not_learnable(answers, patients, words, min_cases)
    probes: list[Probe | None] = []
    for column, word in enumerate(words):
        known = ~np.isnan(answers[:, column])
        positive = answers[known, column] == 1
        probes.append(
            None if word in missing else fit_logistic(features[known], positive, STRENGTH)
        )
    return WordProbes(words=tuple(words), probes=tuple(probes), not_learned=missing)


@dataclass(frozen=True, kw_only=True)
class WordScores:
    """Scores of one set, by word; means are over the words that real radiographs show."""

    auroc: Mapping[str, Estimate]
    mean_auroc: Estimate
    ece: Mapping[str, Estimate]
    mean_ece: Estimate
    ece_floor: Mapping[str, float]


def score_words(
    probabilities: Floats,
    answers: Answers,
    patients: Sequence[str],
    words: Sequence[str],
    not_learned: Mapping[str, NotMeasured],
    not_shown: Mapping[str, NotMeasured],
    config: ComparisonConfig,
) -> WordScores:
    """AUROC and calibration of probabilities (N, words) against answers (N, words).

    Words that are `not_shown` in real radiographs have their numbers, but no part in the means.
    """
    weights = resamples(patients, config.bootstrap, config.seed)

    def scored(
        metric: Metric, without: Mapping[str, NotMeasured]
    ) -> tuple[dict[str, Estimate], Estimate]:
        return finding_scores(
            metric,
            probabilities,
            answers,
            patients,
            weights,
            words,
            without,
            config.min_cases,
            of="words",
        )

    without = {**not_learned, **not_shown}
    auroc, _ = scored(weighted_auroc, not_learned)
    ece, _ = scored(weighted_ece, not_learned)
    _, mean_auroc = scored(weighted_auroc, without)
    _, mean_ece = scored(weighted_ece, without)
    floors = {}
    for column, word in enumerate(words):
        if ece[word].value is not None:
            known = ~np.isnan(answers[:, column])
            floors[word] = ece_floor(probabilities[known, column], config.seed)
    return WordScores(
        auroc=auroc, mean_auroc=mean_auroc, ece=ece, mean_ece=mean_ece, ece_floor=floors
    )


def not_shown(ceiling: WordScores) -> dict[str, NotMeasured]:
    """The words that the probes do not tell on held-out radiographs, by the interval of AUROC."""
    return {
        word: NotMeasured("not told on held-out radiographs")
        for word, found in ceiling.auroc.items()
        if status_above(found, CHANCE) != "works"
    }


def shuffled(answers: Answers, seed: int) -> Answers:
    """The answers of other radiographs of the same set: what chance reaches."""
    return answers[numpy_generator(seed, "shuffled context").permutation(len(answers))]
