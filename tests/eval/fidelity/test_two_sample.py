"""The two-sample test: its null, its power, its groups, and the interval's coverage."""

import numpy as np
import pytest

from eval.fidelity.two_sample import two_sample_auroc
from roentgen.metrics.estimates import Estimate
from roentgen.metrics.features.feature_set import FeatureSet


def features(generator: np.random.Generator, n: int, shift: float, each: int = 1) -> FeatureSet:
    """(n, 16) normal features; `each` alike of a patient."""
    x = np.repeat(generator.normal(size=(n // each, 16)), each, axis=0)
    x[:, 0] += shift
    x += 0.05 * generator.normal(size=x.shape)
    return FeatureSet(features=x, patients=[str(i // each) for i in range(n)])


def compared(seed: int, n: int, shift: float, each: int = 1) -> Estimate:
    generator = np.random.default_rng(seed)
    sets = [features(generator, n, s, each) for s in (shift, 0.0)]
    return two_sample_auroc(*sets, samples=100, seed=seed, name="set")


@pytest.mark.parametrize("each", [1, 4])
def test_nothing_is_told_from_itself(each: int) -> None:
    """Alike images of one patient are in one fold: else they would be told apart by heart."""
    found = [compared(seed, 120, 0.0, each) for seed in range(40)]
    values = np.array([e.value for e in found])
    assert values.mean() == pytest.approx(0.5, abs=4 * values.std() / np.sqrt(40))
    covered = [e.low <= 0.5 <= e.high for e in found if e.low is not None and e.high is not None]
    assert np.mean(covered) >= 0.9


def test_a_shift_is_found_as_far_as_it_goes() -> None:
    """With the distributions known, the best AUROC of a shift by s is that of N(s / sqrt 2)."""
    means = [
        np.mean([compared(seed, 2000, shift).value for seed in range(5)])
        for shift in (0.0, 0.5, 1.0)
    ]
    assert means == pytest.approx([0.5, 0.638, 0.760], abs=0.015)
    wide = compared(0, 400, 6.0)
    assert (wide.value, wide.low, wide.high) == pytest.approx((1, 1, 1), abs=1e-3)


def test_the_result_is_the_same_each_time_and_of_any_scale() -> None:
    generator = np.random.default_rng(3)
    one, other = features(generator, 100, 0.5), features(generator, 100, 0.0)
    scaled = [
        FeatureSet(features=1000 * np.asarray(x.features) + 7, patients=x.patients)
        for x in (one, other)
    ]
    found = [
        two_sample_auroc(*sets, samples=50, seed=1, name="set")
        for sets in ((one, other), (one, other), scaled)
    ]
    assert found[0] == found[1]
    assert found[2].value == pytest.approx(found[0].value)


def test_few_patients_are_not_compared() -> None:
    found = compared(0, 36, 1.0, each=4)
    assert found.note == "not measured: only 9 patients or prompts (at least 10 needed)"
