"""Scores by finding: AUROC and average precision, or the reason why one is not measured."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roentgen.metrics.classification.operating_points import best_threshold
from roentgen.metrics.estimates import Estimate, Floats, bootstrap_weights
from roentgen.metrics.paired_scores import Lacking, Score, estimate, mean_of, over_seeds
from roentgen.record.findings import FindingName

MEAN = "mean"


Labels = NDArray[np.float32]  # N, findings: 1, 0, NaN


# From scores or calls (N,), truth (N,) and weights (R, N): the number under each row of weights.
Metric = Callable[[NDArray[Any], NDArray[np.bool_], NDArray[Any]], Floats]


def shortage(labels: Labels, min_cases: int, what: str) -> str | None:
    """Why there are too few labels (N,) of one finding to do `what`, None if there are enough."""
    for state, kind in ((1, "positives"), (0, "negatives")):
        count = int((labels == state).sum())
        if count < min_cases:
            few = f"only {count}" if count else "no"
            return f"{few} {kind} to {what} (at least {min_cases} needed)"
    return None


def trainable(
    labels: Labels, findings: Sequence[FindingName], min_cases: int
) -> dict[FindingName, str | None]:
    """Why a finding cannot be learned from these labels, None if it can."""
    return {name: shortage(labels[:, j], min_cases, "train on") for j, name in enumerate(findings)}


def thresholds_of(
    scores: Floats, labels: Labels, findings: Sequence[FindingName], min_cases: int
) -> dict[FindingName, float | str]:
    """Where each finding is called with the best F1 on these images, or why it cannot be said."""
    result: dict[FindingName, float | str] = {}
    for j, name in enumerate(findings):
        known = ~np.isnan(labels[:, j])
        why = shortage(labels[:, j], min_cases, "set a threshold by")
        result[name] = why or best_threshold(scores[known, j], labels[known, j] == 1)
    return result


def finding_scores(
    metric: Metric,
    said: NDArray[Any],
    labels: Labels,
    weights: NDArray[Any],
    findings: Sequence[FindingName],
    hindered: Mapping[FindingName, str | None],
    min_cases: int,
) -> tuple[dict[FindingName, Estimate], Estimate]:
    """A number for each finding over its known labels, and their mean.

    `said` is (N, findings); `weights` (1 + R, N) are ones and then resamples of patients;
    `hindered` says why a finding has no number.
    """
    scores: dict[FindingName, Score] = {}
    for j, name in enumerate(findings):
        known = ~np.isnan(labels[:, j])
        n = int(known.sum())
        why = hindered[name] or shortage(labels[:, j], min_cases, "judge by")
        if why:
            scores[name] = Lacking(why=why, n=n)
            continue
        values = metric(said[known, j], labels[known, j] == 1, weights[:, known])
        scores[name] = over_seeds([values], n)
    mean, note = mean_of(list(scores.values()))
    return {name: estimate(score) for name, score in scores.items()}, estimate(mean, note)


def resamples(patients: Sequence[str], samples: int, seed: int) -> NDArray[Any]:
    """(1 + samples, N): ones, then how often each image comes in each resample of patients."""
    weights = bootstrap_weights(patients, samples, seed)
    return np.concatenate([np.ones((1, len(patients)), weights.dtype), weights])
