import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from roentgen.metrics.classification.ranking import weighted_average_precision


def test_agrees_with_scikit_learn_with_ties_and_weights() -> None:
    draws = np.random.default_rng(0)
    scores = draws.integers(0, 30, 200).astype(float)
    positive = draws.random(200) < 0.2
    weights = draws.integers(0, 4, (5, 200))
    ours = weighted_average_precision(scores, positive, weights)
    for row, value in zip(weights, ours, strict=True):
        theirs = average_precision_score(positive, scores, sample_weight=row)
        assert value == pytest.approx(theirs, rel=1e-9)


def test_chance_is_the_share_and_perfect_is_one() -> None:
    draws = np.random.default_rng(1)
    positive = draws.random(20_000) < 0.1
    once = np.ones((1, len(positive)))
    assert weighted_average_precision(positive.astype(float), positive, once)[0] == 1
    same = weighted_average_precision(np.zeros(len(positive)), positive, once)[0]
    assert same == pytest.approx(positive.mean())
    random = weighted_average_precision(draws.random(len(positive)), positive, once)[0]
    assert random == pytest.approx(0.1, abs=0.01)
    nothing = weighted_average_precision(np.arange(3.0), np.zeros(3, bool), np.ones((1, 3)))
    assert np.isnan(nothing[0])
