from typing import Any

import numpy as np
import pytest

from eval.fidelity.scores import fidelity, halves, kernels
from roentgen.metrics.estimates import Estimate
from roentgen.metrics.features.feature_set import FeatureSet
from roentgen.metrics.features.fid_at_n import distances_by_n, extrapolated, random_subsets
from roentgen.metrics.features.frechet import Sample, frechet_distance_of_features
from roentgen.metrics.features.kernel_distances import kernel_distances

D = 8


def gaussian(n: int, seed: int, shift: float = 0.0, scale: float = 1.0) -> FeatureSet:
    values = np.random.default_rng(seed).standard_normal((n, D)) * scale + shift
    return FeatureSet(
        features=values.astype(np.float32), patients=[f"{seed}-{i}" for i in range(n)]
    )


def measure(
    sets: dict[str, FeatureSet], train: FeatureSet, test: FeatureSet, clip: bool = False
) -> dict[str, Any]:
    return fidelity(sets, train, test, k=5, clip=clip, subsets=5, samples=40, seed=0)


def told(estimate: Estimate) -> tuple[float, float, float]:
    """Value, low and high of what must have been measured."""
    assert estimate.value is not None
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.value, estimate.low, estimate.high


def test_excess_and_the_share_of_the_gap_closed_are_the_planted_ones() -> None:
    # Means shifted by s in 8 dimensions: 8 s^2 beyond the floor.
    sets = {"before": gaussian(400, 1, 1.0), "after": gaussian(400, 2, 0.5)}
    result = measure(sets, gaussian(900, 3), gaussian(300, 4))
    assert (result["n"], result["n_reference"]) == (400, 300)
    assert result["excess"]["before"].value == pytest.approx(8, rel=0.1)
    assert result["excess"]["after"].value == pytest.approx(2, rel=0.2)
    lost, low, high = told(result["gap_closed"]["after"])
    assert lost == pytest.approx(0.75, abs=0.05)
    assert 0.6 < low < lost < high < 0.9
    assert result["kid"]["before"].value > result["kid"]["after"].value > 0.1
    assert abs(result["kid"]["floor"].value) < 0.05


def test_a_set_like_the_real_one_has_no_excess_even_at_small_n() -> None:
    # Few images bias FID upwards; at matched n the floor carries the same bias.
    result = measure({"good": gaussian(40, 1)}, gaussian(500, 2), gaussian(60, 3))
    assert result["fid"]["floor"].value > 0.2
    _, low, high = told(result["excess"]["good"])
    assert low < 0 < high


def test_identical_sets_are_at_zero_and_the_interval_does_not_go_below() -> None:
    test = gaussian(100, 1)
    result = measure({"copy": test}, gaussian(100, 2), test)
    assert result["fid"]["copy"].value == pytest.approx(0, abs=1e-9)
    assert result["fid"]["copy"].low == 0
    assert result["excess"]["copy"].value < 0
    for measured in ("precision", "recall", "coverage"):
        assert result[measured]["copy"].value == 1
    # Pairs of an image with itself, which KID leaves out within a set, count across: with k the
    # kernel, 2 / n (mean of k(x, y) over pairs - mean of k(x, x)), a little below 0: given as 0.
    x = np.asarray(test.features, dtype=np.float64)
    k = (x @ x.T / D + 1) ** 3
    apart = (k.sum() - np.trace(k)) / (100 * 99)
    expected = 2 / 100 * (apart - np.trace(k) / 100)
    once = np.ones((1, 100))
    (unbiased,) = kernel_distances(test.features, test.features, once, once)
    assert unbiased == pytest.approx(expected, rel=1e-6)
    assert unbiased < 0
    copy, low, high = told(result["kid"]["copy"])
    assert copy == low == 0 < high
    # Nearer than real radiographs: all of the gap is closed, and no more.
    result = measure({"far": gaussian(100, 3, 1.0), "copy": test}, gaussian(100, 2), test)
    closed, low, high = told(result["gap_closed"]["copy"])
    assert 0.9 < low < closed == high == 1


def test_disjoint_sets_share_nothing() -> None:
    result = measure({"far": gaussian(300, 1, 20.0)}, gaussian(300, 2), gaussian(300, 3))
    assert result["fid"]["far"].value == pytest.approx(8 * 20**2, rel=0.02)
    for measured in ("precision", "recall", "density", "coverage"):
        value, low, high = told(result[measured]["far"])
        # Wilson's interval of 0 of 300; density is no share and has no spread.
        most = 0 if measured == "density" else 1.96**2 / (300 + 1.96**2)
        assert (value, low) == (0, 0)
        assert high == pytest.approx(most, rel=1e-3)
        assert result[measured]["floor"].value > 0.5


def test_a_collapsed_set_is_precise_but_recalls_nothing() -> None:
    test, train = gaussian(400, 3), gaussian(400, 2)
    center = np.zeros((400, D), np.float32) + 1e-3 * np.asarray(gaussian(400, 5).features)
    collapsed = FeatureSet(features=center, patients=[str(i) for i in range(400)])
    result = measure({"collapsed": collapsed}, train, test)
    # Its covariance is nothing: FID is the trace of the real one and the gap of the means.
    x = np.asarray(test.features, dtype=np.float64)
    expected = np.trace(np.cov(x, rowvar=False)) + np.sum((x.mean(axis=0)) ** 2)
    assert result["fid"]["collapsed"].value == pytest.approx(expected, rel=0.01)
    assert result["precision"]["collapsed"].value == 1
    assert result["recall"]["collapsed"].value < 0.02
    assert result["coverage"]["collapsed"].high < 0.3
    assert result["density"]["collapsed"].value > 2  # all in the densest place
    assert result["coverage"]["floor"].low > 0.9


def test_no_gap_to_close_is_stated() -> None:
    train = gaussian(100, 2, 1.0)
    result = measure({"a": gaussian(100, 3), "b": gaussian(100, 4)}, train, gaussian(100, 1))
    assert result["gap_closed"]["b"].value is None
    assert "no excess" in result["gap_closed"]["b"].note


def test_cmmd_is_measured_on_clip_alone() -> None:
    sets, train, test = {"a": gaussian(60, 1, 1.0)}, gaussian(60, 2), gaussian(60, 3)
    other = measure(sets, train, test)["cmmd"]["a"]
    assert other.value is None
    assert "needs features of a CLIP model" in other.note
    of_clip = measure(sets, train, test, clip=True)["cmmd"]
    assert told(of_clip["a"])[1] > told(of_clip["floor"])[0]


def test_larger_sets_are_cut_to_the_same_number() -> None:
    picks = random_subsets(gaussian(200, 1), 30, 4, seed=0)
    assert [len(set(pick.tolist())) for pick in picks] == [30] * 4
    assert len({tuple(pick) for pick in picks}) == 4
    (whole,) = random_subsets(gaussian(30, 1), 30, 4, seed=0)
    np.testing.assert_array_equal(whole, np.arange(30))


def test_kids_intervals_are_as_wide_as_it_scatters() -> None:
    def measured(i: int) -> tuple[float, float, float]:
        sets, test = {"a": gaussian(40, 2 * i, 0.5)}, gaussian(30, 2 * i + 1)
        return told(kernels(sets, test, clip=False, samples=60, seed=i)["kid"]["a"])

    values, lows, highs = zip(*(measured(i) for i in range(200)), strict=True)
    deviation = np.mean(np.subtract(highs, lows)) / 2 / 1.96
    assert deviation == pytest.approx(np.std(values), rel=0.15)


def test_fid_falls_as_one_over_n_and_its_extrapolation_has_no_bias() -> None:
    truth = 8 * 0.3**2
    plain, found, halfwidths = [], [], []
    for i in range(40):
        made, test = gaussian(160, 1000 + 2 * i, 0.3), gaussian(160, 1001 + 2 * i)
        plain.append(frechet_distance_of_features(made.features, test.features))
        value, low, high = told(extrapolated(made, test, 0, "made"))
        found.append(value)
        halfwidths.append((high - low) / 2)
    error = np.std(found) / np.sqrt(40)
    assert np.mean(plain) - truth > 8 * error  # FID itself is biased upwards
    assert abs(np.mean(found) - truth) < 3 * error
    # The jackknife's intervals are as wide as the values scatter.
    assert np.mean(halfwidths) / 1.96 == pytest.approx(np.std(found), rel=0.3)


def test_fid_by_n_rises_as_a_line_over_the_number_of_parts() -> None:
    def curve(seed: int) -> list[tuple[int, float]]:
        made, test = gaussian(160, seed), gaussian(200, seed + 1)
        return distances_by_n(made, Sample(test.features), 0, "made", most=8, least=20)

    assert [n for n, _ in curve(1)] == [160, 80, 53, 40, 32, 26, 22, 20]
    whole = frechet_distance_of_features(gaussian(160, 1).features, gaussian(200, 2).features)
    assert curve(1)[0][1] == pytest.approx(whole)
    means = np.mean([[value for _, value in curve(2 * i)] for i in range(20)], axis=0)
    slopes = np.diff(means)
    np.testing.assert_allclose(slopes, slopes.mean(), rtol=0.15)


def test_too_few_images_to_extrapolate_is_said() -> None:
    few = extrapolated(gaussian(15, 1), gaussian(300, 2), 0, "made")
    assert few.value is None
    assert "twice as many images and held-out radiographs as dimensions (16)" in str(few.note)
    one_patient = FeatureSet(features=gaussian(100, 1).features, patients=["a"] * 100)
    found = extrapolated(one_patient, gaussian(300, 2), 0, "made")
    assert found.value is not None
    assert (found.low, found.note) == (None, "no interval: fewer than 20 patients")


def test_halves_tell_whether_the_splits_are_alike() -> None:
    test = gaussian(200, 1)
    pairs = [str(i // 2) for i in range(200)]
    held_out = FeatureSet(features=test.features, patients=pairs)
    alike = halves(gaussian(500, 2), held_out, 5, 0)
    assert alike["within"].n == 100
    assert alike["across"].value == pytest.approx(alike["within"].value, rel=0.5)
    other = halves(gaussian(500, 2, 1.0), held_out, 5, 0)
    assert other["across"].value == pytest.approx(8, rel=0.2)
    one = FeatureSet(features=test.features, patients=["a"] * 200)
    assert halves(gaussian(500, 2), one, 5, 0)["within"].value is None
