import numpy as np
import pytest

from eval.alignment import MEAN, alignment, finding_aurocs, trainable, view_accuracy
from roentgen.data.findings import FindingName
from roentgen.models.classifier import Prediction
from roentgen.models.labels import UNKNOWN_VIEW

FINDINGS: tuple[FindingName, ...] = ("Pleural Effusion", "Pneumothorax", "Edema")


def labels_and_scores(n: int, wrong: float) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Labels, scores that know the truth, and a share of labels that are drawn anew."""
    generator = np.random.default_rng(0)
    truth = (generator.random((n, 3)) < 0.5).astype(np.float32)
    scores = (truth + generator.random((n, 3))) / 2  # separates truth perfectly
    noisy = generator.random((n, 3)) < wrong
    asked = np.where(noisy, generator.random((n, 3)) < 0.5, truth).astype(np.float32)
    return asked, scores, [str(i) for i in range(n)]


def judge(labels: np.ndarray, scores: np.ndarray, patients: list[str]) -> dict[str, float | None]:
    free = dict.fromkeys(FINDINGS)
    estimates, _ = finding_aurocs(
        [scores], labels, patients, FINDINGS, free, min_cases=5, samples=200, seed=0
    )
    return {name: estimate.value for name, estimate in estimates.items()}


def test_planted_label_noise_lowers_auroc_by_its_share() -> None:
    # A share q of labels is drawn anew, half of which hit the truth: a label is wrong with q/2, so
    # AUROC falls from 1 to (1 - q/2)^2 + 2 (q/2)(1 - q/2)/2 = 1 - q/2.
    for wrong in (0.0, 0.2, 0.5):
        value = judge(*labels_and_scores(4000, wrong))[MEAN]
        assert value == pytest.approx(1 - wrong / 2, abs=0.015)


def test_unknown_labels_do_not_count_and_shortages_are_told() -> None:
    labels, scores, patients = labels_and_scores(60, 0.0)
    labels[:, 1] = 1
    labels[5:, 2] = np.nan
    free = dict.fromkeys(FINDINGS)
    estimates, replicates = finding_aurocs(
        [scores], labels, patients, FINDINGS, free, min_cases=5, samples=50, seed=0
    )
    assert estimates["Pneumothorax"].value is None
    assert estimates["Pneumothorax"].note == (
        "not measured: no negatives to judge by (at least 5 needed)"
    )
    assert "only" in str(estimates["Edema"].note)
    assert estimates["Edema"].n == 5
    assert estimates[MEAN].value == estimates["Pleural Effusion"].value == 1
    assert estimates[MEAN].note == "over 1 of 3 findings"
    assert set(replicates) == {"Pleural Effusion", MEAN}


def test_nothing_measured_is_said() -> None:
    labels = np.full((30, 3), np.nan, dtype=np.float32)
    why = trainable(labels, FINDINGS, 5)
    assert why["Edema"] == "no positives to train on (at least 5 needed)"
    result = alignment(
        Prediction(np.zeros((30, 3)), np.zeros((30, 3))),
        labels,
        np.full(30, UNKNOWN_VIEW),
        ["p"] * 30,
        FINDINGS,
        why,
        min_cases=5,
        samples=20,
        seed=0,
    )
    assert result["mean_auroc"].value is None
    assert result["view_accuracy"].note == "not measured: no image has a view"
    assert result["cases"]["Edema"] == {"present": 0, "absent": 0}


def test_view_accuracy_counts_known_views() -> None:
    predicted = np.eye(3)[[0, 1, 2, 2]]
    accuracy = view_accuracy(predicted, np.array([0, 1, 1, UNKNOWN_VIEW]))
    assert (accuracy.value, accuracy.n) == (2 / 3, 3)
