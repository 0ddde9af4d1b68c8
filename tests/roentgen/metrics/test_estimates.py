import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torchmetrics.functional.classification import binary_auroc, binary_average_precision

from roentgen.metrics.classification.ranking import (
    auroc,
    weighted_auroc,
    weighted_average_precision,
)
from roentgen.metrics.estimates import (
    bootstrap_weights,
    normal_estimate,
    normal_interval,
    percentile_interval,
    proportion,
    share_estimate,
    share_of_images,
    wilson_interval,
)


def by_pairs(scores: np.ndarray, positive: np.ndarray) -> float:
    p, q = scores[positive][:, None], scores[~positive][None]
    return float((p > q).mean() + (p == q).mean() / 2)


@pytest.mark.parametrize("decimals", [1, 2, 8])  # few decimals: many ties
def test_auroc_counts_pairs_weighted_and_not(decimals: int) -> None:
    generator = np.random.default_rng(decimals)
    scores = generator.random(200).round(decimals)
    positive = generator.random(200) < scores
    assert auroc(scores, positive) == pytest.approx(by_pairs(scores, positive), abs=1e-6)
    (ours,) = weighted_auroc(scores, positive, np.ones((1, 200)))
    assert ours == pytest.approx(by_pairs(scores, positive), rel=1e-12)


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e4])
def test_the_scale_of_scores_does_not_matter(scale: float) -> None:
    """Log odds and negative losses are no probabilities, for which torchmetrics takes scores."""
    generator = np.random.default_rng(2)
    scores = generator.normal(-1, 1, 300)
    positive = generator.random(300) < 0.4
    assert auroc(scale * scores, positive) == pytest.approx(by_pairs(scores, positive), abs=1e-6)


def test_weighted_ranking_agrees_with_torchmetrics() -> None:
    generator = np.random.default_rng(1)
    scores, positive = generator.random(80).round(1), generator.random(80) < 0.4
    weights = generator.integers(0, 3, size=(5, 80))
    areas = weighted_auroc(scores, positive, weights)
    precisions = weighted_average_precision(scores, positive, weights)
    for row, area, precision in zip(weights, areas, precisions, strict=True):
        again = np.repeat(np.arange(80), row)
        sample = torch.from_numpy(scores[again]), torch.from_numpy(positive[again]).long()
        assert area == pytest.approx(float(binary_auroc(*sample)), abs=1e-6)
        assert precision == pytest.approx(float(binary_average_precision(*sample)), abs=1e-6)


def test_auroc_known_answers() -> None:
    positive = np.array([False, False, True, True])
    assert auroc(np.array([0.1, 0.2, 0.3, 0.4]), positive) == 1
    assert auroc(np.array([0.4, 0.3, 0.2, 0.1]), positive) == 0
    assert auroc(np.full(4, 0.5), positive) == 0.5
    assert math.isnan(auroc(np.arange(4.0), np.ones(4, dtype=bool)))


def test_weights_are_repeats() -> None:
    generator = np.random.default_rng(0)
    scores, positive = generator.random(40).round(1), generator.random(40) < 0.4
    weights = generator.integers(0, 3, size=(5, 40))
    for row, value in zip(weights, weighted_auroc(scores, positive, weights), strict=True):
        again = np.repeat(np.arange(40), row)
        assert value == pytest.approx(by_pairs(scores[again], positive[again]), rel=1e-12)


def test_bootstrap_takes_whole_patients() -> None:
    patients = ["a", "a", "b", "c", "c", "c"]
    weights = bootstrap_weights(patients, 200, seed=1)
    assert weights.shape == (200, 6)
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 3] == weights[:, 5]).all()
    assert (weights[:, [0, 2, 3]].sum(axis=1) == 3).all()
    np.testing.assert_array_equal(weights, bootstrap_weights(patients, 200, seed=1))
    assert (weights != bootstrap_weights(patients, 200, seed=2)).any()


def test_bootstrap_interval_covers_as_theory_says() -> None:
    generator = np.random.default_rng(3)
    names = [str(i) for i in range(400)]
    values = generator.standard_normal(400)
    means = bootstrap_weights(names, 2000, seed=0) @ values / 400
    low, high = percentile_interval(means)
    assert (high - low) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.1)
    low, high = normal_interval(0.0, means)
    assert high == pytest.approx(1.96 * values.std() / 20, rel=0.1)
    assert low == -high


def test_wilson_known_answers() -> None:
    # Newcombe 1998, table I: 81/263, 15/148, 0/20, 1/29.
    for successes, n, low, high in [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ]:
        assert wilson_interval(successes, n) == pytest.approx((low, high), abs=5e-5)
    whole = proportion(20, 20)
    assert (whole.value, whole.high) == (1, 1)
    assert whole.low == pytest.approx(1 - 0.1611, abs=5e-5)


def test_ranges_hold_in_the_estimate() -> None:
    draws = np.random.default_rng(0)
    replicates = 3 + 4 * draws.standard_normal(500)
    found = normal_estimate(3.0, replicates, 9, least=0.0)
    assert (found.value, found.low) == (3.0, 0.0)
    assert found.high == pytest.approx(3 + 1.96 * 4, rel=0.1)
    # An unbiased estimate below the range is the end of the range, its interval above it.
    below = normal_estimate(-2.0, replicates - 5, 9, least=0.0)
    assert (below.value, below.low) == (0.0, 0.0)
    assert below.high == pytest.approx(1.96 * 4, rel=0.1)
    above = normal_estimate(7.5, replicates, 9, least=1.0, most=7.0)
    assert (above.value, above.low, above.high) == (7.0, 1.0, 7.0)


def test_the_interval_of_a_share_of_independent_images_is_wilsons() -> None:
    for hits, n in ((81, 263), (15, 148), (0, 20), (20, 20)):
        found = share_of_images(np.arange(n) < hits, [str(i) for i in range(n)])
        assert found == replace(proportion(hits, n), patients=n)


def test_a_share_with_replicates_has_the_interval_of_their_variance() -> None:
    # 10 patients of 8 equal images each are 10 observations; without spread, too.
    draws = np.random.default_rng(2)
    found = share_estimate(0.9, draws.binomial(10, 0.9, 200_000) / 10, 80, 10)
    assert (found.low, found.high) == pytest.approx(wilson_interval(9, 10), abs=0.002)
    certain = share_estimate(1.0, np.ones(100), 80, 10)
    assert (certain.low, certain.high) == wilson_interval(10, 10)


def test_equal_images_of_a_patient_are_one_observation() -> None:
    # m patients of 8 equal images: variance p (1 - p) / (m - 1) of m; Student's quantiles make up
    # for the m - 1 degrees of freedom of that variance.
    for m, hits in ((10, 9), (40, 12), (200, 20)):
        n = 8 * m
        found = share_of_images(np.arange(n) < 8 * hits, [str(i // 8) for i in range(n)])
        size = (m - 1) * (stats.t.ppf(0.975, n - 1) / stats.t.ppf(0.975, m - 1)) ** 2
        expected = wilson_interval(hits / m * size, size)
        assert (found.low, found.high) == pytest.approx(expected, abs=1e-9)
        assert (found.value, found.n, found.patients) == (hits / m, n, m)


def test_a_share_without_spread_is_that_of_its_patients() -> None:
    for value in (0.0, 1.0):
        found = share_of_images(np.full(240, value), [str(i % 30) for i in range(240)])
        assert (found.low, found.high) == wilson_interval(30 * value, 30)
    one = share_of_images(np.arange(20) < 15, ["p"] * 20)
    assert (one.value, one.patients) == (0.75, 1)
    assert (one.low, one.high) == pytest.approx(wilson_interval(0.75, 1))


def test_the_interval_of_a_clustered_share_covers_as_often_as_it_says() -> None:
    # Each patient has a share of his own, beta with mean p and correlation 0.5 (a + b = 1) of his
    # 6 images. Wilson's interval at n, of images, covers in 60 to 70 % of draws.
    draws = np.random.default_rng(4)
    for p, m in ((0.5, 15), (0.8, 40), (0.9, 100)):
        patients = [str(i // 6) for i in range(6 * m)]
        covered, of_images = [], []
        for _ in range(600):
            shares = draws.beta(p, 1 - p, m)
            hits = draws.random(6 * m) < np.repeat(shares, 6)
            found: Any = share_of_images(hits, patients)
            covered.append(found.low <= p <= found.high)
            low, high = wilson_interval(int(hits.sum()), 6 * m)
            of_images.append(low <= p <= high)
        assert 0.93 < np.mean(covered) <= 0.985
        assert np.mean(of_images) < 0.8
