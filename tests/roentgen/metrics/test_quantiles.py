"""Weighted quantiles against NumPy's of repeated values, and against their nominal rate."""

import numpy as np
import pytest

from roentgen.metrics.quantiles import weighted_quantile


@pytest.mark.parametrize("share", [0.0, 0.01, 0.25, 0.5, 0.77, 0.99, 1.0])
def test_weights_are_repetitions(share: float) -> None:
    generator = np.random.default_rng(0)
    values = generator.integers(0, 12, 30).astype(float)  # with ties
    weights = generator.integers(0, 4, (20, 30))
    found = weighted_quantile(values, weights, share)
    expected = [np.quantile(np.repeat(values, w), share, method="weibull") for w in weights]
    np.testing.assert_allclose(found, expected)


def test_a_resample_without_values_has_none() -> None:
    found = weighted_quantile(np.array([3.0, 1.0]), np.array([[0, 0], [0, 1], [1, 0]]), 0.5)
    np.testing.assert_array_equal(found, [np.nan, 1, 3])


@pytest.mark.parametrize("n", [99, 150])
def test_a_further_value_is_below_with_the_nominal_probability(n: int) -> None:
    """Of uniform values, the quantile itself is the probability of a further value below it."""
    generator = np.random.default_rng(n)
    values = generator.random((4000, n))
    ones = np.ones((1, n), np.int64)
    found = np.array([weighted_quantile(x, ones, 0.01)[0] for x in values])
    assert found.mean() == pytest.approx(0.01, abs=4 * found.std() / np.sqrt(len(found)))
