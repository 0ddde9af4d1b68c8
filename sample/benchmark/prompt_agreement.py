"""Agreement of generated images with their prompts, by a classifier trained on real radiographs."""

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

_CASES = 10  # least number of images with and without a finding to measure its AUROC


def prompt_agreement(
    prediction: Prediction,
    requested: Sequence[Radiograph],
    patients: Sequence[str],
    findings: Sequence[FindingName],
    *,
    samples: int,
    seed: int,
) -> tuple[Estimate, Estimate]:
    """The view accuracy, and the mean AUROC of requested findings.

    Findings with fewer than 10 images with or without them are excluded from the mean.
    """
    views = view_indices(requested)
    known_view = views != UNKNOWN_VIEW
    right = prediction.views[known_view].argmax(axis=1) == views[known_view]
    view: Estimate = NotMeasured("no view is requested")
    if len(right):
        view = proportion(int(right.sum()), len(right))
    labels = label_matrix(requested, findings)
    measured = [j for j in range(len(findings)) if _cases(labels[:, j]) >= _CASES]
    if not measured:
        return view, NotMeasured(f"no finding has {_CASES} images with and {_CASES} without it")
    weights = bootstrap_weights(patients, samples, seed)
    weights = np.concatenate([np.ones_like(weights[:1]), weights])
    each = []
    for j in measured:
        known = ~np.isnan(labels[:, j])
        positive = labels[known, j] == 1
        each.append(weighted_auroc(prediction.findings[known, j], positive, weights[:, known]))
    mean = np.mean(each, axis=0)
    return view, normal_estimate(mean[0], mean[1:], len(requested), least=0.0)


def _cases(labels: np.ndarray) -> int:
    """The smaller number of images with and without a finding."""
    return int(min((labels == 1).sum(), (labels == 0).sum()))
