"""Alignment scores: findings, view, laterality and demographics of a set against its requests."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.alignment.view_scores import rows_of_seen_views, view_scores
from roentgen.dataset.image_set import ImageSet
from roentgen.metrics.classification.finding_scores import Metric, finding_scores, resamples
from roentgen.metrics.classification.operating_points import weighted_f1
from roentgen.metrics.classification.ranking import weighted_auroc, weighted_average_precision
from roentgen.metrics.estimates import (
    Estimate,
    Floats,
    NotMeasured,
    count_patients,
    percentile_interval,
    share_of_images,
)
from roentgen.record.finding import FindingName
from roentgen.record.radiograph import Radiograph, View
from roentgen.vision.classifier import Prediction
from roentgen.vision.image_halves import single_side
from roentgen.vision.linear_probe import PROBE_METHODS, DemographicProbes, ages_of, males

ALL = "all findings"
DEMOGRAPHICS_METHODS = (
    f"Sex and age: {PROBE_METHODS}, fitted to the reference classifier's features of the "
    "radiographs that it was trained on; age error: mean absolute error in years. Floors: always "
    "the most common sex of these radiographs, always their median age."
)


def alignment(
    prediction: Prediction,
    images: ImageSet,
    not_learned: Mapping[FindingName, NotMeasured],
    *,
    never_seen: Mapping[View, NotMeasured] = {},
    views_not_told: Mapping[View, NotMeasured] = {},
    thresholds: Mapping[FindingName, float | NotMeasured] | None = None,
    min_cases: int,
    samples: int,
    seed: int,
) -> dict[str, Any]:
    """Scores of `images`: view accuracy; AUROC, AUPRC and (with thresholds) F1 of their findings.

    `not_learned` are the findings that the classifier does not know or tell; "mean_auroc" etc. are
    means. Findings are scored on images of views that it has seen.
    """
    findings = images.findings
    rows = rows_of_seen_views(images.views, never_seen)
    labels, patients = images.labels[rows], [images.patients[row] for row in rows]
    weights = resamples(patients, samples, seed)
    result = view_scores(
        prediction.views, images.views, images.patients, never_seen, views_not_told
    )
    result["excluded_views"] = len(images.views) - len(rows)

    def add(
        name: str,
        metric: Metric,
        predicted: NDArray[Any],
        missing: Mapping[FindingName, NotMeasured] = not_learned,
    ) -> None:
        each, mean = finding_scores(
            metric, predicted, labels, patients, weights, findings, missing, min_cases
        )
        result[f"mean_{name}"], result[name] = mean, each

    scores = prediction.findings[rows]
    add("auroc", weighted_auroc, scores)
    add("auprc", weighted_average_precision, scores)
    if thresholds is not None:
        chosen = [thresholds[name] for name in findings]
        limits = np.array([np.inf if isinstance(t, NotMeasured) else t for t in chosen])
        unset = {name: t for name, t in thresholds.items() if isinstance(t, NotMeasured)}
        add("f1", weighted_f1, scores >= limits, {**unset, **not_learned})
    result["cases"] = {
        name: {"present": int((labels[:, j] == 1).sum()), "absent": int((labels[:, j] == 0).sum())}
        for j, name in enumerate(findings)
    }
    return result


def laterality_accuracy(
    probabilities: Floats,
    labels: NDArray[np.float32],
    patients: Sequence[str],
    findings: Sequence[FindingName],
    not_learned: Mapping[FindingName, NotMeasured],
    min_cases: int,
) -> dict[str, Estimate]:
    """The share of images requested with a finding on one side that have it rather on that side.

    `probabilities` (N, findings, 2) are those of the left and the right half, `labels` are
    `labels_by_side`. A finding needs `min_cases` patients.
    """
    requested = single_side(labels)
    result: dict[str, Estimate] = {}
    all_hits: list[bool] = []
    all_patients: list[str] = []
    for j, name in enumerate(findings):
        missing = not_learned.get(name)
        sided = requested[:, j] >= 0
        of = np.asarray(patients)[sided].tolist()
        if not missing and count_patients(of) < min_cases:
            missing = NotMeasured(
                f"on one side in {len(of)} images of {count_patients(of)} patients (at least "
                f"{min_cases} patients needed)"
            )
        if missing:
            result[name] = NotMeasured(missing.reason, len(of), count_patients(of))
            continue
        hits = probabilities[sided, j].argmax(axis=1) == requested[sided, j]
        result[name] = share_of_images(hits, of)
        all_hits += hits.tolist()
        all_patients += of
    if not all_hits:
        return {ALL: NotMeasured("no finding has enough patients with one side"), **result}
    return {ALL: share_of_images(np.array(all_hits), all_patients), **result}


def demographic_accuracy(
    probes: DemographicProbes,
    features: NDArray[np.floating],
    radiographs: Sequence[Radiograph],
    weights: NDArray[np.integer],
) -> dict[str, Estimate]:
    """Sex accuracy and age error of a set with features (N, d), and their floors.

    `weights` (1 + R, N) are ones and then resamples of patients.
    """
    odds = probes.read("sex", features, radiographs)
    patients = np.array([radiograph.patient_id for radiograph in radiographs])
    rows = np.flatnonzero(~np.isnan(odds))
    sex: Estimate = probes.not_learned.get("sex") or NotMeasured("no image has a sex")
    sex_floor = sex
    if len(rows) and "sex" not in probes.not_learned:
        male = males(radiographs)[rows]
        of = patients[rows].tolist()
        sex = share_of_images((odds[rows] > 0) == male, of)
        sex_floor = share_of_images(male == (probes.commonest_sex == "M"), of)
    years, ages = probes.read("age", features, radiographs), ages_of(radiographs)
    rows = np.flatnonzero(~np.isnan(years))
    age: Estimate = probes.not_learned.get("age") or NotMeasured("no image has an age")
    age_floor = age
    if len(rows) and "age" not in probes.not_learned:
        of = patients[rows].tolist()
        age = _mean(np.abs(years - ages)[rows], of, weights[:, rows])
        age_floor = _mean(np.abs(probes.median_age - ages)[rows], of, weights[:, rows])
    return {"sex_accuracy": sex, "sex_floor": sex_floor, "age_error": age, "age_floor": age_floor}


def _mean(values: Floats, patients: Sequence[str], weights: NDArray[np.integer]) -> Estimate:
    total = weights.sum(axis=1)
    means = np.divide(weights @ values, total, out=np.full(len(weights), np.nan), where=total > 0)
    low, high = percentile_interval(means[1:])
    return Estimate(
        value=float(means[0]), low=low, high=high, n=len(values), patients=count_patients(patients)
    )
