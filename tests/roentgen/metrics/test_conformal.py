"""Limits of likeness: a quantile of enough patients, a prediction limit of few."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from roentgen.metrics.conformal import calibrate, calibrate_likeness


def names(count: int) -> list[str]:
    return [str(i) for i in range(count)]


def test_enough_patients_are_taken_as_they_are() -> None:
    values = np.random.default_rng(0).uniform(0.2, 0.6, 199)
    assert calibrate_likeness(values, names(199), 0.01) == calibrate(values, names(199), 0.01)


def test_few_patients_limit_lies_beyond_their_likeliest() -> None:
    # Student's t of one degree of freedom has the quantile tan(pi * (p - 1/2)).
    found = calibrate_likeness(np.tanh([0.4, 0.3, 0.6]), ["a", "a", "b"], 0.1)
    margin = math.tan(0.4 * math.pi) * math.sqrt(0.02) * math.sqrt(1.5)
    assert found.likeness == pytest.approx(math.tanh(0.5 + margin))
    assert (found.patients, found.guaranteed, found.expected) == (2, 1 / 3, 0.1)


def test_a_further_patient_exceeds_it_as_rarely_as_asked() -> None:
    draws = np.random.default_rng(1)
    exceeded, likeliest = [], []
    for _ in range(2000):
        z = 0.5 + 0.15 * draws.standard_normal(38)
        found = calibrate_likeness(np.tanh(z), names(38), 0.01)
        exceeded.append(norm.sf((math.atanh(found.likeness) - 0.5) / 0.15))
        likeliest.append(norm.sf((z.max() - 0.5) / 0.15))
    # The prediction limit has 0.01 exactly; where the likeliest lies above it, it is that one's.
    assert 0.008 < np.mean(exceeded) <= 0.0103
    assert np.mean(likeliest) == pytest.approx(1 / 39, rel=0.1)


def test_the_limit_never_lies_below_the_likeliest() -> None:
    values = np.append(np.tanh(np.random.default_rng(2).normal(0.5, 0.01, 20)), 1.0)
    assert calibrate_likeness(values, names(21), 0.01).likeness == 1.0
