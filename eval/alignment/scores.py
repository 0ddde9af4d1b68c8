"""Alignment scores: predictions of a reference classifier against the requests."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roentgen.metrics.classification.auroc import weighted_auroc
from roentgen.metrics.classification.average_precision import weighted_average_precision
from roentgen.metrics.classification.finding_scores import Labels, Metric, finding_scores, resamples
from roentgen.metrics.classification.operating_points import weighted_f1
from roentgen.metrics.estimates import NotMeasured
from roentgen.record.findings import FindingName
from roentgen.vision.classifier import Prediction
from roentgen.vision.view_accuracy import view_accuracy


def alignment(
    prediction: Prediction,
    labels: Labels,
    views: NDArray[np.int64],
    patients: Sequence[str],
    findings: Sequence[FindingName],
    not_learned: Mapping[FindingName, NotMeasured],
    *,
    thresholds: Mapping[FindingName, float | NotMeasured] | None = None,
    min_cases: int,
    samples: int,
    seed: int,
) -> dict[str, Any]:
    """Scores of one set: view accuracy; AUROC, AUPRC and (with thresholds) F1 of findings.

    `not_learned` are the findings that the classifier does not know; "mean_auroc" etc. are means.
    """
    weights = resamples(patients, samples, seed)
    result: dict[str, Any] = {"view_accuracy": view_accuracy(prediction.views, views)}

    def add(
        name: str,
        metric: Metric,
        predicted: NDArray[Any],
        missing: Mapping[FindingName, NotMeasured] = not_learned,
    ) -> None:
        each, mean = finding_scores(
            metric, predicted, labels, weights, findings, missing, min_cases
        )
        result[f"mean_{name}"], result[name] = mean, each

    add("auroc", weighted_auroc, prediction.findings)
    add("auprc", weighted_average_precision, prediction.findings)
    if thresholds is not None:
        chosen = [thresholds[name] for name in findings]
        limits = np.array([np.inf if isinstance(t, NotMeasured) else t for t in chosen])
        unset = {name: t for name, t in thresholds.items() if isinstance(t, NotMeasured)}
        add("f1", weighted_f1, prediction.findings >= limits, {**unset, **not_learned})
    result["cases"] = {
        name: {
            "present": int((labels[:, j] == 1).sum()),
            "absent": int((labels[:, j] == 0).sum()),
        }
        for j, name in enumerate(findings)
    }
    return result
