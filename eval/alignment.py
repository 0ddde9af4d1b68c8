"""Is it what was asked for? A classifier trained on real films judges each set."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.estimates import (
    Estimate,
    Floats,
    auroc,
    bootstrap_weights,
    not_measured,
    percentile_interval,
    proportion,
    weighted_auroc,
)
from roentgen.data.findings import FindingName
from roentgen.models.classifier import Prediction
from roentgen.models.labels import UNKNOWN_VIEW

MEAN = "mean"


def trainable(
    labels: NDArray[np.float32], findings: Sequence[FindingName], min_cases: int
) -> dict[FindingName, str | None]:
    """Why a finding cannot be learned from these labels, None if it can."""
    return {name: _shortage(labels[:, j], min_cases, "train on") for j, name in enumerate(findings)}


def finding_aurocs(
    predictions: Sequence[Floats],
    labels: NDArray[np.float32],
    patients: Sequence[str],
    findings: Sequence[FindingName],
    untrained: dict[FindingName, str | None],
    *,
    min_cases: int,
    samples: int,
    seed: int,
) -> tuple[dict[str, Estimate], dict[str, Floats]]:
    """AUROC, present against absent, of each finding and their mean, averaged over predictions.

    `predictions` holds one (N, findings) array a training seed. Also returns each number's
    bootstrap replicates; equal `seed` and `patients` pair those of different classifiers.
    """
    weights = bootstrap_weights(patients, samples, seed)
    estimates: dict[str, Estimate] = {}
    replicates: dict[str, Floats] = {}
    for j, name in enumerate(findings):
        known = ~np.isnan(labels[:, j])
        why = untrained[name] or _shortage(labels[:, j], min_cases, "judge by")
        if why:
            estimates[name] = not_measured(int(known.sum()), why)
            continue
        positive = labels[known, j] == 1
        scores = [p[known, j] for p in predictions]
        replicates[name] = np.mean(
            [weighted_auroc(s, positive, weights[:, known]) for s in scores], axis=0
        )
        low, high = percentile_interval(replicates[name])
        value = float(np.mean([auroc(s, positive) for s in scores]))
        estimates[name] = Estimate(value=value, low=low, high=high, n=int(known.sum()))
    measured = list(replicates)
    if not measured:
        estimates[MEAN] = not_measured(len(labels), "no finding has enough labels")
        return estimates, replicates
    replicates[MEAN] = np.mean([replicates[name] for name in measured], axis=0)
    low, high = percentile_interval(replicates[MEAN])
    value = float(np.mean([estimates[name].value for name in measured]))
    left_out = [name for name in findings if name not in measured]
    note = f"over {len(measured)} of {len(findings)} findings" if left_out else None
    estimates[MEAN] = Estimate(value=value, low=low, high=high, n=len(labels), note=note)
    return estimates, replicates


def view_accuracy(predicted: Floats, views: NDArray[np.int64]) -> Estimate:
    """The share of images whose likeliest view is the one asked for."""
    known = views != UNKNOWN_VIEW
    n = int(known.sum())
    if n == 0:
        return not_measured(0, "no image has a view")
    return proportion(int((predicted[known].argmax(axis=1) == views[known]).sum()), n)


def alignment(
    prediction: Prediction,
    labels: NDArray[np.float32],
    views: NDArray[np.int64],
    patients: Sequence[str],
    findings: Sequence[FindingName],
    untrained: dict[FindingName, str | None],
    *,
    min_cases: int,
    samples: int,
    seed: int,
) -> dict[str, Any]:
    """The judgement of one set, as JSON."""
    estimates, _ = finding_aurocs(
        [prediction.findings],
        labels,
        patients,
        findings,
        untrained,
        min_cases=min_cases,
        samples=samples,
        seed=seed,
    )
    mean = estimates.pop(MEAN)
    return {
        "view_accuracy": view_accuracy(prediction.views, views),
        "mean_auroc": mean,
        "auroc": estimates,
        "cases": {
            name: {
                "present": int((labels[:, j] == 1).sum()),
                "absent": int((labels[:, j] == 0).sum()),
            }
            for j, name in enumerate(findings)
        },
    }


def _shortage(labels: NDArray[np.float32], min_cases: int, what: str) -> str | None:
    for state, kind in ((1, "positives"), (0, "negatives")):
        count = int((labels == state).sum())
        if count < min_cases:
            few = f"only {count}" if count else "no"
            return f"{few} {kind} to {what} (at least {min_cases} needed)"
    return None
