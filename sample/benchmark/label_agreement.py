"""Is it what was asked for? What a classifier of real films says of made ones."""

from collections.abc import Sequence

import numpy as np

from roentgen.dataset.label_arrays import UNKNOWN_VIEW, label_matrix, view_indices
from roentgen.metrics.classification.auroc import weighted_auroc
from roentgen.metrics.estimates import (
    Estimate,
    NotMeasured,
    bootstrap_weights,
    normal_estimate,
    proportion,
)
from roentgen.record.findings import FindingName
from roentgen.record.radiograph import Radiograph
from roentgen.vision.classifier import Prediction

_CASES = 10  # with and without a finding, below which it is not judged


def agreement(
    prediction: Prediction,
    asked: Sequence[Radiograph],
    patients: Sequence[str],
    findings: Sequence[FindingName],
    *,
    samples: int,
    seed: int,
) -> tuple[Estimate, Estimate]:
    """The share of images whose likeliest view is the one asked for; the mean AUROC of findings.

    Findings with fewer than 10 images with or without them are left out of the mean.
    """
    views = view_indices(asked)
    told = views != UNKNOWN_VIEW
    right = prediction.views[told].argmax(axis=1) == views[told]
    view = proportion(int(right.sum()), len(right)) if len(right) else _none("no view is asked for")
    labels = label_matrix(asked, findings)
    judged = [j for j in range(len(findings)) if _cases(labels[:, j]) >= _CASES]
    if not judged:
        return view, _none(f"no finding has {_CASES} images with and {_CASES} without it")
    weights = bootstrap_weights(patients, samples, seed)
    weights = np.concatenate([np.ones_like(weights[:1]), weights])
    each = []
    for j in judged:
        known = ~np.isnan(labels[:, j])
        positive = labels[known, j] == 1
        each.append(weighted_auroc(prediction.findings[known, j], positive, weights[:, known]))
    mean = np.mean(each, axis=0)
    return view, normal_estimate(mean[0], mean[1:], len(asked), least=0.0)


def _cases(labels: np.ndarray) -> int:
    """The fewer of those with and those without."""
    return int(min((labels == 1).sum(), (labels == 0).sum()))


def _none(why: str) -> Estimate:
    return NotMeasured(why)
