"""Conformal thresholds: a quantile of enough patients, a prediction limit of few."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from roentgen.metrics.estimates import calibrate, calibrate_correlations


def names(count: int) -> list[str]:
    return [str(i) for i in range(count)]


def test_with_enough_patients_nothing_is_extrapolated() -> None:
    values = np.random.default_rng(0).uniform(0.2, 0.6, 199)
    assert calibrate_correlations(values, names(199), 0.01) == calibrate(values, names(199), 0.01)


def test_the_threshold_of_few_patients_is_above_their_largest_value() -> None:
    # Student's t of one degree of freedom has the quantile tan(pi * (p - 1/2)).
    found = calibrate_correlations(np.tanh([0.4, 0.3, 0.6]), ["a", "a", "b"], 0.1)
    margin = math.tan(0.4 * math.pi) * math.sqrt(0.02) * math.sqrt(1.5)
    assert found.value == pytest.approx(math.tanh(0.5 + margin))
    assert (found.patients, found.guaranteed, found.expected) == (2, 1 / 3, 0.1)


def test_a_further_patient_exceeds_it_at_the_requested_rate() -> None:
    draws = np.random.default_rng(1)
    exceeded, likeliest = [], []
    for _ in range(2000):
        z = 0.5 + 0.15 * draws.standard_normal(38)
        found = calibrate_correlations(np.tanh(z), names(38), 0.01)
        exceeded.append(norm.sf((math.atanh(found.value) - 0.5) / 0.15))
        likeliest.append(norm.sf((z.max() - 0.5) / 0.15))
    # The prediction limit has 0.01 exactly; where the likeliest lies above it, it is that one's.
    assert 0.008 < np.mean(exceeded) <= 0.0103
    assert np.mean(likeliest) == pytest.approx(1 / 39, rel=0.1)


def test_the_limit_never_lies_below_the_likeliest() -> None:
    values = np.append(np.tanh(np.random.default_rng(2).normal(0.5, 0.01, 20)), 1.0)
    assert calibrate_correlations(values, names(21), 0.01).value == 1.0
