from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from eval.alignment.scores import alignment
from roentgen.dataset.label_arrays import UNKNOWN_VIEW
from roentgen.metrics.classification.finding_scores import (
    finding_scores,
    not_learnable,
    resamples,
    thresholds_of,
)
from roentgen.metrics.classification.ranking import weighted_auroc
from roentgen.metrics.estimates import NotMeasured
from roentgen.record.finding import FindingName
from roentgen.vision.classifier import Prediction
from roentgen.vision.view_accuracy import view_accuracy

FINDINGS: tuple[FindingName, ...] = ("Pleural Effusion", "Pneumothorax", "Edema")
FREE: dict[FindingName, NotMeasured] = {}


def labels_and_scores(n: int, wrong: float, share: float = 0.5) -> tuple[Any, Any, list[str]]:
    """Labels, scores that know the truth, and a share of labels that are turned over."""
    generator = np.random.default_rng(0)
    truth = generator.random((n, 3)) < share
    scores = (truth + generator.random((n, 3))) / 2  # separates truth perfectly
    noisy = generator.random((n, 3)) < wrong
    return (truth ^ noisy).astype(np.float32), scores, [str(i) for i in range(n)]


def requests(labels: Any, views: Any, patients: list[str]) -> Any:
    """What is read of an `ImageSet`."""
    return SimpleNamespace(findings=FINDINGS, labels=labels, views=views, patients=patients)


def judged(labels: Any, scores: Any, patients: list[str], **options: Any) -> dict[str, Any]:
    views = np.zeros(len(labels), np.int64)
    prediction = Prediction(scores, np.eye(3)[views])
    settings: dict[str, Any] = {"min_cases": 5, "samples": 200, "seed": 0, **options}
    return alignment(prediction, requests(labels, views, patients), FREE, **settings)


@pytest.mark.parametrize("wrong", [0.0, 0.1, 0.25])
def test_planted_label_noise_lowers_scores_by_what_theory_gives(wrong: float) -> None:
    # A share q of balanced labels is turned over. Of a positive and a negative label both are right
    # with (1-q)^2 (ranked rightly), both wrong with q^2 (wrongly), else they rank by chance:
    # AUROC = (1-q)^2 + q(1-q) = 1 - q. Those called (by truth) are right with 1 - q, and so many
    # of the positives are called: F1 = 1 - q.
    labels, scores, patients = labels_and_scores(4000, wrong)
    result = judged(labels, scores, patients, thresholds=dict.fromkeys(FINDINGS, 0.5))
    for name in ("auroc", "f1"):
        mean = result[f"mean_{name}"]
        assert mean.value == pytest.approx(1 - wrong, abs=0.012)
        assert mean.low <= 1 - wrong <= mean.high
    # Precision is 1 - q while the upper, true half is called, then sinks towards 1/2: at the share
    # x of all called, with recall (1-q) + q(2x-1), it is (recall)/(2x).
    x = np.linspace(0.5, 1, 100_001)
    recall = (1 - wrong) + wrong * (2 * x - 1)
    lower = np.sum((recall[:-1] / (2 * x[:-1])) * np.diff(recall))
    assert result["mean_auprc"].value == pytest.approx((1 - wrong) ** 2 + lower, abs=0.015)


def test_every_answer_of_one_kind_is_chance() -> None:
    labels, scores, patients = labels_and_scores(2000, 0.0, share=0.2)
    same = judged(labels, np.zeros_like(scores), patients)
    assert same["mean_auroc"].value == 0.5
    assert same["auprc"]["Edema"].value == pytest.approx(labels[:, 2].mean())
    assert "f1" not in same


def test_thresholds_come_from_other_films_and_say_why_there_is_none() -> None:
    labels, scores, patients = labels_and_scores(400, 0.0)
    labels[:, 1] = 0
    found = thresholds_of(scores, labels, patients, FINDINGS, min_cases=5)
    missing = found["Pneumothorax"]
    assert isinstance(missing, NotMeasured)
    assert missing.reason == "no positives to set a threshold by (at least 5 patients needed)"
    assert found["Edema"] == scores[labels[:, 2] == 1, 2].min()  # separates them
    labels, scores, patients = labels_and_scores(400, 0.0)
    result = judged(labels, scores, patients, thresholds=found)
    assert result["f1"]["Edema"].value > 0.98
    assert result["f1"]["Pneumothorax"].note.startswith("not measured: no positives to set")
    assert result["auroc"]["Pneumothorax"].value == 1
    assert result["mean_f1"].note == "over 2 of 3 findings"


def test_unknown_labels_do_not_count_and_shortages_are_told() -> None:
    labels, scores, patients = labels_and_scores(60, 0.0)
    labels[:, 1] = 1
    labels[5:, 2] = np.nan
    weights = resamples(patients, 50, seed=0)
    each, mean = finding_scores(
        weighted_auroc, scores, labels, patients, weights, FINDINGS, FREE, 5
    )
    assert each["Pneumothorax"].value is None
    assert each["Pneumothorax"].note == (
        "not measured: no negatives to evaluate on (at least 5 patients needed)"
    )
    assert "only" in str(each["Edema"].note)
    assert each["Edema"].n == 5
    assert mean.value == each["Pleural Effusion"].value == 1
    assert mean.note == "over 1 of 3 findings"


def test_nothing_measured_is_said() -> None:
    labels = np.full((30, 3), np.nan, dtype=np.float32)
    patients = [str(i) for i in range(30)]
    why = not_learnable(labels, patients, FINDINGS, 5)
    assert why["Edema"].reason == "no positives to train on (at least 5 patients needed)"
    result = alignment(
        Prediction(np.zeros((30, 3)), np.zeros((30, 3))),
        requests(labels, np.full(30, UNKNOWN_VIEW), patients),
        why,
        thresholds=thresholds_of(np.zeros((30, 3)), labels, patients, FINDINGS, 5),
        min_cases=5,
        samples=20,
        seed=0,
    )
    for name in ("auroc", "auprc", "f1"):
        assert result[f"mean_{name}"].value is None
    assert result["view_accuracy"].note == "not measured: no image has a view"
    assert result["cases"]["Edema"] == {"present": 0, "absent": 0}


def test_view_accuracy_counts_known_views() -> None:
    predicted = np.eye(3)[[0, 1, 2, 2]]
    accuracy = view_accuracy(predicted, np.array([0, 1, 1, UNKNOWN_VIEW]), ["a", "a", "b", "c"])
    assert (accuracy.value, accuracy.n, accuracy.patients) == (2 / 3, 3, 2)


def test_many_images_of_few_patients_are_few() -> None:
    # 20 positives of one patient, 40 negatives of 40 patients; then 4 positives of each of 5.
    labels, scores, _ = labels_and_scores(60, 0.0)
    labels[:] = 0
    labels[:20] = 1
    patients = ["one"] * 20 + [str(i) for i in range(40)]
    result = judged(labels, scores, patients, thresholds=dict.fromkeys(FINDINGS, 0.5))
    for metric in ("auroc", "auprc", "f1"):
        found = result[metric]["Edema"]
        assert found.note == (
            "not measured: positives of only 1 patient to evaluate on (at least 5 patients needed)"
        )
        assert (found.n, found.patients) == (60, 41)
        assert result[f"mean_{metric}"].value is None
    of_five = [str(i // 4 + 100) for i in range(20)] + patients[20:]
    found = judged(labels, scores, of_five)["auroc"]["Edema"]
    assert (found.n, found.patients) == (60, 45)
    assert found.value is not None
    of_four = [str(i // 5 + 100) for i in range(20)] + patients[20:]
    assert judged(labels, scores, of_four)["auroc"]["Edema"].value is None
    labels[:] = 1 - labels
    assert judged(labels, scores, of_four)["auroc"]["Edema"].note.startswith(
        "not measured: negatives of only 4 patients"
    )
    assert (
        "of only 1 patient to train on"
        in not_learnable(labels, patients, FINDINGS, 5)["Edema"].reason
    )
