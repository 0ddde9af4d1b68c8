import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import (
    binary_f1_score,
    binary_sensitivity_at_specificity,
    multiclass_accuracy,
)

from roentgen.metrics.classification.operating_points import (
    any_pathology,
    best_threshold,
    predicted_no_finding,
    true_positive_rate,
    weighted_balanced_accuracy,
    weighted_f1,
    weighted_share,
)
from roentgen.record.finding import FindingName

NAN = np.nan


def f1(called: np.ndarray, positive: np.ndarray) -> float:
    return float(binary_f1_score(torch.from_numpy(called).int(), torch.from_numpy(positive).int()))


@pytest.mark.parametrize("decimals", [1, 8])  # few decimals: many ties
def test_the_threshold_is_the_best_of_all(decimals: int) -> None:
    for seed in range(10):
        generator = np.random.default_rng(seed)
        scores = generator.random(60).round(decimals)
        positive = generator.random(60) < scores**2
        found = best_threshold(scores, positive)
        best = max(f1(scores >= t, positive) for t in np.unique(scores))
        assert f1(scores >= found, positive) == pytest.approx(best, abs=1e-6)


def test_f1_agrees_with_torchmetrics_and_weights_are_repeats() -> None:
    generator = np.random.default_rng(0)
    called, positive = generator.random(50) < 0.5, generator.random(50) < 0.4
    weights = generator.integers(0, 3, size=(4, 50)).astype(float)
    for row, value in zip(weights, weighted_f1(called, positive, weights), strict=True):
        again = np.repeat(np.arange(50), row.astype(int))
        assert value == pytest.approx(f1(called[again], positive[again]), abs=1e-6)
    nothing = np.zeros(50, dtype=bool)
    assert np.isnan(weighted_f1(nothing, nothing, weights)).all()


def test_balanced_accuracy_agrees_with_torchmetrics_and_weights_are_repeats() -> None:
    generator = np.random.default_rng(1)
    called, positive = generator.random(50) < 0.5, generator.random(50) < 0.3
    weights = generator.integers(0, 3, size=(4, 50)).astype(float)
    found = weighted_balanced_accuracy(called, positive, weights)
    for row, value in zip(weights, found, strict=True):
        again = np.repeat(np.arange(50), row.astype(int))
        sample = torch.from_numpy(called[again]).int(), torch.from_numpy(positive[again]).int()
        theirs = multiclass_accuracy(*sample, num_classes=2, average="macro")
        assert value == pytest.approx(float(theirs), abs=1e-6)
    assert np.isnan(weighted_balanced_accuracy(called, np.ones(50, bool), weights)).all()


@pytest.mark.parametrize("decimals", [1, 8])  # few decimals: many ties
def test_the_true_positive_rate_agrees_with_torchmetrics(decimals: int) -> None:
    generator = np.random.default_rng(2)
    scores = generator.random(400).round(decimals)
    positive = generator.random(400) < scores
    for rate in (0.05, 0.1, 0.3):
        found, _ = true_positive_rate(scores[positive], scores[~positive], rate)
        theirs, _ = binary_sensitivity_at_specificity(
            torch.from_numpy(scores), torch.from_numpy(positive).long(), min_specificity=1 - rate
        )
        assert found == pytest.approx(float(theirs), abs=1e-6)


def test_underdiagnosis_from_a_hand_made_table() -> None:
    findings: tuple[FindingName, ...] = ("Edema", "Pneumonia", "Support Devices")
    labels = np.array(
        [  # sick, and what the network calls
            [1, 0, 0],  # edema: seen
            [1, NAN, 0],  # edema: missed
            [0, 1, 0],  # pneumonia: edema is called instead, so not missed
            [NAN, 1, 1],  # pneumonia: missed; the device that is seen does not count
            [0, 0, 1],  # not sick: a device is no disease
            [NAN, NAN, NAN],  # not known to be sick
        ],
        dtype=np.float32,
    )
    scores = np.array(
        [[0.9, 0, 0], [0.2, 0.1, 0], [0.5, 0.1, 0], [0, 0.29, 1], [0, 0, 1], [0, 0, 0]]
    )
    ill = any_pathology(labels, findings)
    assert ill.tolist() == [True] * 4 + [False] * 2
    healthy = predicted_no_finding(scores, [0.5, 0.3, 0.5], findings)
    assert healthy is not None
    assert healthy.tolist() == [False, True, False, True, True, True]
    assert weighted_share(healthy, ill, np.ones((1, 6)))[0] == 0.5
    twice = np.array([[1.0, 2, 1, 1, 0, 0]])
    assert weighted_share(healthy, ill, twice)[0] == pytest.approx(3 / 5)
    # A finding without a threshold cannot be called; without any, nothing can.
    only = predicted_no_finding(scores, [0.5, None, 0.5], findings)
    assert only is not None
    assert only.tolist() == [False, True, False, True, True, True]
    assert predicted_no_finding(scores, [None, None, 0.5], findings) is None


def test_no_finding_is_taken_at_its_word_where_it_can_be_called() -> None:
    findings: tuple[FindingName, ...] = ("No Finding", "Edema")
    labels = np.array([[0, NAN], [1, 0], [NAN, 1]], dtype=np.float32)
    scores = np.array([[0.7, 0.9], [0.8, 0.1], [0.1, 0.1]])
    assert any_pathology(labels, findings).tolist() == [True, False, True]
    healthy = predicted_no_finding(scores, [0.6, 0.5], findings)
    assert healthy is not None
    assert healthy.tolist() == [True, True, False]
    instead = predicted_no_finding(scores, [None, 0.5], findings)
    assert instead is not None
    assert instead.tolist() == [False, True, True]
