"""Scores by finding: AUROC and average precision, or the reason why one is not measured."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from roentgen.metrics.classification.operating_points import best_threshold
from roentgen.metrics.estimates import (
    Estimate,
    Floats,
    NotMeasured,
    bootstrap_weights,
    count_patients,
)
from roentgen.metrics.paired_scores import Score, estimate, mean_of, over_seeds
from roentgen.record.finding import FindingName

Labels = NDArray[np.float32]  # N, findings: 1, 0, NaN
Name = TypeVar("Name", bound=str)  # of a finding, or of anything else that images are labeled with


# From scores or calls (N,), truth (N,) and weights (R, N): the number under each row of weights.
Metric = Callable[[NDArray[Any], NDArray[np.bool_], NDArray[Any]], Floats]


def too_few(
    labels: Labels, patients: Sequence[str], min_cases: int, purpose: str
) -> NotMeasured | None:
    """The reason if one finding's labels (N,) are of too few patients for `purpose`, else None.

    Images of one patient are alike: patients with a positive, and with a negative, are counted.
    """
    for state, kind in ((1, "positives"), (0, "negatives")):
        count = count_patients(np.asarray(patients)[labels == state].tolist())
        if count < min_cases:
            few = f"{kind} of only {count} patient{'s' * (count > 1)}" if count else f"no {kind}"
            return NotMeasured(f"{few} to {purpose} (at least {min_cases} patients needed)")
    return None


def not_learnable(
    labels: Labels, patients: Sequence[str], findings: Sequence[Name], min_cases: int
) -> dict[Name, NotMeasured]:
    """The findings that cannot be learned from these labels (N, findings)."""
    found = {
        name: too_few(labels[:, j], patients, min_cases, "train on")
        for j, name in enumerate(findings)
    }
    return {name: reason for name, reason in found.items() if reason}


def thresholds_of(
    scores: Floats,
    labels: Labels,
    patients: Sequence[str],
    findings: Sequence[FindingName],
    min_cases: int,
) -> dict[FindingName, float | NotMeasured]:
    """The threshold of each finding that has the best F1 on these images."""
    result: dict[FindingName, float | NotMeasured] = {}
    for j, name in enumerate(findings):
        known = ~np.isnan(labels[:, j])
        few = too_few(labels[:, j], patients, min_cases, "set a threshold by")
        result[name] = few or best_threshold(scores[known, j], labels[known, j] == 1)
    return result


def finding_scores(
    metric: Metric,
    predictions: NDArray[Any],
    labels: Labels,
    patients: Sequence[str],
    weights: NDArray[Any],
    findings: Sequence[Name],
    not_measurable: Mapping[Name, NotMeasured],
    min_cases: int,
    of: str = "findings",
) -> tuple[dict[Name, Estimate], Estimate]:
    """A number for each finding over its known labels, and their mean.

    `predictions` is (N, findings); `weights` (1 + R, N) are ones and then resamples of patients;
    `of` names the findings in the note of a mean that lacks some.
    """
    scores: dict[Name, Score] = {}
    for j, name in enumerate(findings):
        known = ~np.isnan(labels[:, j])
        own = np.asarray(patients)[known].tolist()
        missing = not_measurable.get(name) or too_few(
            labels[:, j], patients, min_cases, "evaluate on"
        )
        if missing:
            scores[name] = NotMeasured(missing.reason, len(own), count_patients(own))
            continue
        values = metric(predictions[known, j], labels[known, j] == 1, weights[:, known])
        scores[name] = over_seeds([values], own)
    mean, note = mean_of(list(scores.values()), of)
    return {name: estimate(score) for name, score in scores.items()}, estimate(mean, note)


def resamples(patients: Sequence[str], samples: int, seed: int) -> NDArray[Any]:
    """(1 + samples, N): ones, then how often each image comes in each resample of patients."""
    if not len(patients):
        return np.ones((1 + samples, 0))
    weights = bootstrap_weights(patients, samples, seed)
    return np.concatenate([np.ones((1, len(patients)), weights.dtype), weights])
