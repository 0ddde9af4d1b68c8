import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from roentgen.metrics.estimates import Estimate, NotMeasured
from roentgen.metrics.paired_scores import (
    Measured,
    Score,
    bonferroni,
    difference,
    estimate,
    gain,
    mean_of,
    over_seeds,
    paired_test,
    share,
    widest,
)


def constant(value: float, n: int = 10) -> Measured:
    return Measured(by_seed=np.full(3, value), replicates=np.full(50, value), n=n, patients=n)


def test_the_t_test_has_the_answer_worked_out_by_hand() -> None:
    # Differences 1, 2, 3: mean 3 - 1 = 2, deviation 1, t = 2 sqrt 3 with 2 degrees of freedom,
    # whose distribution function is 1/2 + t / (2 sqrt(2 + t^2)).
    mean, p = paired_test(np.array([1.0, 2.0, 3.0]))
    t = 2 * math.sqrt(3)
    assert p.value == pytest.approx(0.5 - t / (2 * math.sqrt(2 + t * t)), rel=1e-12)
    assert mean.value == 2
    assert mean.high == pytest.approx(2 + 4.302653 / math.sqrt(3), rel=1e-6)  # t tables: 4.302653
    assert mean.n == p.n == 3


def test_the_t_test_is_scipys_paired_one_tailed_one() -> None:
    generator = np.random.default_rng(0)
    ours, theirs = generator.normal(0.82, 0.02, 7), generator.normal(0.8, 0.02, 7)
    mean, p = paired_test(ours - theirs)
    expected = stats.ttest_rel(ours, theirs, alternative="greater")
    assert p.value == pytest.approx(float(expected.pvalue), rel=1e-10)
    interval = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    assert (mean.low, mean.high) == pytest.approx((interval.low, interval.high), rel=1e-10)
    assert paired_test(theirs - ours)[1].value == pytest.approx(1 - float(expected.pvalue))


def test_what_a_t_test_cannot_say_is_stated() -> None:
    for estimates in paired_test(np.array([0.1])):
        assert estimates.note == "not measured: 1 training seed; at least 2 are needed"
    mean, p = paired_test(np.full(4, 0.1))
    assert mean.value == pytest.approx(0.1)
    assert p.note == "not measured: equal for all training seeds"
    assert paired_test(np.zeros(3))[1].value is None


def test_bonferroni_multiplies_and_stops_at_1() -> None:
    assert bonferroni(Estimate(value=0.004, n=5), 12).value == pytest.approx(0.048)
    assert bonferroni(Estimate(value=0.2, n=5), 12).value == 1
    missing = Estimate(value=None, n=1, note="not measured: why")
    assert bonferroni(missing, 12) == missing


def test_corrected_tests_of_nothing_rarely_find_something() -> None:
    generator = np.random.default_rng(1)
    families = generator.standard_normal((1000, 8, 5))  # of 8 tests over 5 seeds
    found = [
        min(bonferroni(paired_test(row)[1], 8).value or 0 for row in family) < 0.05
        for family in families
    ]
    assert 0.03 < np.mean(found) < 0.07  # 1 - (1 - 0.05 / 8)^8 = 0.049, +- 3 deviations
    single = np.mean([(paired_test(row)[1].value or 0) < 0.05 for row in families[:, 0]])
    assert 0.03 < single < 0.07


def test_means_and_differences_are_taken_seed_by_seed_and_resample_by_resample() -> None:
    a = over_seeds([np.array([0.5, 0.4, 0.6]), np.array([0.7, 0.8, 0.6])], list("aabbccddee"))
    np.testing.assert_allclose(a.by_seed, [0.5, 0.7])
    np.testing.assert_allclose(a.replicates, [0.6, 0.6])
    b = Measured(by_seed=np.array([0.4, 0.4]), replicates=np.array([0.2, 0.5]), n=8, patients=4)
    change = difference(a, b)
    assert isinstance(change, Measured)
    np.testing.assert_allclose(change.by_seed, [0.1, 0.3])
    np.testing.assert_allclose(change.replicates, [0.4, 0.1])
    assert (a.n, a.patients) == (10, 5)
    assert (change.n, change.patients) == (8, 4)
    mean, note = mean_of([a, b, NotMeasured("no positives", 3)])
    assert isinstance(mean, Measured)
    np.testing.assert_allclose(mean.by_seed, [0.45, 0.55])
    assert note == "over 2 of 3 findings"
    assert estimate(mean, note).value == pytest.approx(0.5)


def test_the_interval_of_a_gain_covers_patients_and_seeds() -> None:
    generator = np.random.default_rng(2)
    covered, patients_alone = [], []
    for _ in range(1000):  # true gain 0.1; patients move it by 0.02, each of 4 seeds by 0.03
        by_seed = generator.normal(0.1, 0.02) + generator.normal(0, 0.03, 4)
        replicates = generator.normal(by_seed.mean(), 0.02, 200)
        change = Measured(by_seed=by_seed, replicates=replicates, n=100, patients=100)
        one: Any = gain(change, 1).estimate
        covered.append(one.low <= 0.1 <= one.high)
        alone: Any = estimate(change)
        patients_alone.append(alone.low <= 0.1 <= alone.high)
    assert 0.93 < np.mean(covered) < 0.98
    assert np.mean(patients_alone) < 0.91
    replicates = generator.normal(0.1, 0.02, 999)
    single = Measured(by_seed=np.array([0.1]), replicates=replicates, n=9, patients=9)
    assert gain(single, 1).estimate == estimate(single)


def test_intervals_of_differences_of_shares_stay_within_theirs() -> None:
    # Two seeds: Student's t of one degree of freedom is 12.7.
    by_seed, replicates = np.array([0.2, 0.9]), np.array([0.5, 0.6])
    change = Measured(by_seed=by_seed, replicates=replicates, n=9, patients=9)
    for one in (gain(change, 1).estimate, gain(change, 1).seeds):
        assert one.value == pytest.approx(0.55)
        assert (one.low, one.high) == (-1, 1)


def test_what_is_lacking_stays_lacking() -> None:
    lacking = NotMeasured("no positives", 3)
    for change in (difference(lacking, constant(1)), difference(constant(1), lacking)):
        assert change == lacking
        assert gain(change, 5).p_corrected.note == "not measured: no positives"
    mean, note = mean_of([lacking, lacking])
    assert estimate(mean, note).value is None


def test_a_share_of_none_is_not_certain() -> None:
    nobody: Any = share(replace(constant(0.0, n=160), patients=20))
    assert (nobody.n, nobody.patients) == (160, 20)
    assert (nobody.value, nobody.low) == (0, 0)
    assert nobody.high == pytest.approx(0.1611, abs=5e-5)  # Newcombe 1998: 0 of 20
    assert share(constant(0.3)) == estimate(constant(0.3))


def test_the_widest_gap_names_its_groups() -> None:
    groups: dict[str, Score] = {
        "F": constant(0.8),
        "M": constant(0.9),
        "X": NotMeasured("few", 1),
    }
    gap, note = widest(groups)
    assert estimate(gap, note).value == pytest.approx(0.1)
    assert note == "M above F"
    alone, _ = widest({"F": constant(0.8), "X": NotMeasured("few", 1)})
    assert estimate(alone).note == ("not measured: 1 group(s) with enough cases; 2 are needed")
