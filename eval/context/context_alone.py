"""Leakage audit: how well the clinical context alone, without any image, tells each finding."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from eval.config import ComparisonConfig
from eval.context.context_arrays import Measurements, answers_of, as_columns
from eval.finding_probes import STRENGTH, probe_findings
from roentgen.dataset.image_set import ImageSet
from roentgen.metrics.classification.finding_scores import (
    finding_scores,
    not_learnable,
    resamples,
)
from roentgen.metrics.classification.ranking import weighted_auroc
from roentgen.metrics.estimates import Estimate, Floats
from roentgen.metrics.paired_scores import MEAN, estimate
from roentgen.prompts.context_words import ContextRule
from roentgen.vision.linear_probe import fit_logistic


@dataclass(frozen=True, kw_only=True)
class ContextAlone:
    """AUROC of findings, and of their mean, from context alone."""

    cross_validated: Mapping[str, Estimate]  # on the train split
    held_out: Mapping[str, Estimate]
    values: tuple[str, ...]  # measured values that were used, with their units


def context_alone(
    train: ImageSet,
    test: ImageSet,
    rules: Sequence[ContextRule],
    config: ComparisonConfig,
    folds: int,
) -> ContextAlone:
    """A penalized logistic regression per finding, on values, on answers, and on what is missing.

    On the train split each fold of patients is scored by regressions of the others, held-out
    radiographs by one of the whole split.
    """
    findings, least = config.findings, config.min_cases
    measurements = Measurements.of(train.radiographs, train.patients, least)

    def described(images: ImageSet) -> Floats:
        answers = as_columns(answers_of(images.radiographs, rules))
        return np.concatenate([measurements(images.radiographs), answers], axis=1)

    x = described(train)
    within = probe_findings(
        x,
        train.labels,
        train.patients,
        findings,
        folds=folds,
        min_cases=least,
        samples=config.bootstrap,
        seed=config.seed,
    )
    not_learned = not_learnable(train.labels, train.patients, findings, least)
    odds = np.zeros((len(test), len(findings)))
    held_out = described(test)
    for column, name in enumerate(findings):
        if name not in not_learned:
            known = ~np.isnan(train.labels[:, column])
            probe = fit_logistic(x[known], train.labels[known, column] == 1, STRENGTH)
            odds[:, column] = probe(held_out)
    tested, mean = finding_scores(
        weighted_auroc,
        odds,
        test.labels,
        test.patients,
        resamples(test.patients, config.bootstrap, config.seed),
        findings,
        not_learned,
        least,
    )
    score, note = within.mean["auroc"]
    return ContextAlone(
        cross_validated={MEAN: estimate(score, note)}
        | {name: estimate(own) for name, own in within.findings["auroc"].items()},
        held_out={MEAN: mean} | tested,
        values=tuple(f"{name} ({unit})" if unit else name for name, unit in measurements.ranked),
    )
