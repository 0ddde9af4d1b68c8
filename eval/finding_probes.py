"""Linear probes of findings, cross-validated by patient: of texts or clinical context."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roentgen.metrics.classification.finding_scores import resamples, too_few
from roentgen.metrics.classification.operating_points import weighted_balanced_accuracy
from roentgen.metrics.classification.ranking import weighted_auroc
from roentgen.metrics.estimates import Floats, NotMeasured, count_patients
from roentgen.metrics.paired_scores import (
    Score,
    mean_of,
    over_seeds,
)
from roentgen.randomness import numpy_generator
from roentgen.record.finding import FindingName
from roentgen.vision.linear_probe import fit_logistic

STRENGTH = 0.01  # of the probes' penalty


METRICS = ("auroc", "balanced_accuracy")


@dataclass(frozen=True, kw_only=True)
class ProbeScores:
    """Scores of the probes of each finding, and their mean, by metric."""

    findings: dict[str, dict[FindingName, Score]]
    mean: dict[str, tuple[Score, str | None]]


def folds_of(patients: Sequence[str], folds: int, seed: int) -> NDArray[np.int64]:
    """(N,) the fold of each item; all of a patient are in one."""
    names, member = np.unique(np.asarray(patients), return_inverse=True)
    order = numpy_generator(seed, "text encoder folds").permutation(len(names))
    return np.asarray((order % folds)[member], dtype=np.int64)


def probe_findings(
    embeddings: NDArray[np.floating],
    labels: NDArray[np.float32],
    patients: Sequence[str],
    findings: Sequence[FindingName],
    *,
    folds: int,
    min_cases: int,
    samples: int,
    seed: int,
) -> ProbeScores:
    """Scores of probes of embeddings (N, D) on each fold, fitted on the other folds.

    AUROC is over pairs of items of one fold; balanced accuracy is the mean of sensitivity and
    specificity, predicted positive where a probe's odds exceed the prevalence odds of its fit.
    """
    fold = folds_of(patients, folds, seed)
    weights = resamples(patients, samples, seed)
    scores: dict[str, dict[FindingName, Score]] = {metric: {} for metric in METRICS}
    for j, name in enumerate(findings):
        known = ~np.isnan(labels[:, j])
        of = np.asarray(patients)[known].tolist()
        missing = too_few(labels[:, j], patients, max(min_cases, folds), "probe by")
        positive, x, at = labels[known, j] == 1, embeddings[known], fold[known]
        if not missing and any(len(set(positive[at != k])) < 2 for k in range(folds)):
            missing = NotMeasured("all positives or negatives are in one fold")
        if missing:
            for metric in METRICS:
                scores[metric][name] = NotMeasured(missing.reason, len(of), count_patients(of))
            continue
        odds = np.empty(len(of))
        predicted = np.empty(len(of), dtype=bool)
        for k in range(folds):
            mine, others = at == k, at != k
            if mine.any():
                odds[mine] = fit_logistic(x[others], positive[others], STRENGTH)(x[mine])
                share = positive[others].mean()
                predicted[mine] = odds[mine] > np.log(share / (1 - share))
        w = weights[:, known]
        scores["auroc"][name] = over_seeds([_within_folds(odds, positive, at, w)], of)
        scores["balanced_accuracy"][name] = over_seeds(
            [weighted_balanced_accuracy(predicted, positive, w)], of
        )
    means = {metric: mean_of(list(each.values())) for metric, each in scores.items()}
    return ProbeScores(findings=scores, mean=means)


def _within_folds(
    odds: Floats, positive: NDArray[np.bool_], fold: NDArray[np.int64], weights: NDArray[Any]
) -> Floats:
    """AUROC over the pairs within folds: probes of different folds have no common scale."""
    right, pairs = np.zeros(len(weights)), np.zeros(len(weights))
    for k in np.unique(fold):
        mine = fold == k
        w, p = weights[:, mine].astype(np.float64), positive[mine]
        count = (w * p).sum(axis=1) * (w * ~p).sum(axis=1)
        area = weighted_auroc(odds[mine], p, w)
        right += np.where(count > 0, np.nan_to_num(area) * count, 0)
        pairs += count
    return np.asarray(np.divide(right, pairs, out=np.full(len(weights), np.nan), where=pairs > 0))
