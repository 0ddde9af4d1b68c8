import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import (
    multilabel_f1_score,
    multilabel_precision,
    multilabel_recall,
)

from eval.labeling.tallies import Tallies
from roentgen.corpora.open_i.mesh import COVERED


def test_scores_agree_with_torchmetrics() -> None:
    draws = np.random.default_rng(0)
    predicted, present = draws.random((2, 40, len(COVERED))) < 0.3
    tallies = Tallies([str(i) for i in range(40)], 20, seed=0)
    for i in range(40):
        for j, name in enumerate(COVERED):
            sets = [{name} if row[i, j] else set() for row in (present, predicted)]
            tallies.compare("present", name, i, *sets)
    pair = torch.from_numpy(predicted).int(), torch.from_numpy(present).int()
    scores = tallies.f1("present", COVERED)
    for key, theirs in (
        ("precision", multilabel_precision),
        ("recall", multilabel_recall),
        ("f1", multilabel_f1_score),
    ):
        each = theirs(*pair, num_labels=len(COVERED), average="none")
        np.testing.assert_allclose([scores[name][key] for name in COVERED], each.numpy(), rtol=1e-6)
        micro = theirs(*pair, num_labels=len(COVERED), average="micro")
        assert scores["all"][key] == pytest.approx(float(micro), rel=1e-6)


def test_intervals_resample_patients_not_reports() -> None:
    alone = Tallies([str(i) for i in range(100)], 500, seed=0)
    together = Tallies([str(i // 10) for i in range(100)], 500, seed=0)
    widths = []
    for tallies in (alone, together):
        for i in range(100):
            tallies.check("side", "Fracture", i, i < 50)
        score = tallies.shares("side", ["Fracture"])["all"]
        assert (score["n"], score["share"]) == (100, 0.5)
        widths.append(score["high"] - score["low"])
    # Half of the patients are right in all: deviations of 0.05 and of 0.16.
    assert widths[0] == pytest.approx(4 * 0.05, rel=0.15)
    assert widths[1] == pytest.approx(4 * 0.158, rel=0.15)


def test_what_is_always_right_has_an_interval() -> None:
    tallies = Tallies(["a", "b"], 20, seed=0)
    tallies.check("side", "Fracture", 0, True)
    tallies.check("side", "Fracture", 1, True)
    score = tallies.shares("side", ["Fracture"])["Fracture"]
    assert score["high"] == 1
    assert score["low"] == pytest.approx(2 / (2 + 1.96**2), abs=1e-3)  # Wilson's


def test_nothing_to_measure_has_no_number() -> None:
    tallies = Tallies(["a"], 20, seed=0)
    assert tallies.shares("side", ["Fracture"])["all"] == {
        **{"n": 0, "share": None, "low": None, "high": None}
    }
    assert tallies.f1("place", ["Fracture"])["all"]["f1"] is None
