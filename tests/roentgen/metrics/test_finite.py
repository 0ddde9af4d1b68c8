"""Every metric refuses NaN and infinite input, and has the right value of constant features."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from roentgen.errors import InputError
from roentgen.metrics.classification.calibration import ece_floor, reliability, weighted_ece
from roentgen.metrics.classification.operating_points import (
    best_threshold,
    predicted_no_finding,
    true_positive_rate,
)
from roentgen.metrics.classification.ranking import auroc, weighted_average_precision
from roentgen.metrics.clip_score import clip_scores, recalls
from roentgen.metrics.estimates import (
    calibrate,
    normal_interval,
    percentile_interval,
    weighted_mean,
)
from roentgen.metrics.features.frechet import frechet_distance_of_features
from roentgen.metrics.features.kernel_distances import cmmds, kernel_distance
from roentgen.metrics.features.nearest import nearest_by_cosine
from roentgen.metrics.features.prdc import prdc
from roentgen.metrics.features.vendi import vendi_jackknife

Array = np.ndarray[Any, Any]
GOOD = np.random.default_rng(0).standard_normal((30, 4))
WIDE = np.random.default_rng(1).standard_normal((6, 40))  # Fréchet's and Vendi's other form
POSITIVE = np.arange(30) % 2 == 0
ONCE = np.ones((1, 30))
PATIENTS = [str(i) for i in range(30)]


def _vendi(x: Array) -> object:
    return vendi_jackknife(x, np.zeros(len(x), int))


def _cmmd(x: Array, y: Array) -> object:
    return cmmds(x, y, np.ones((1, len(x))), np.ones((1, len(y))))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "metric",
    [
        lambda x: frechet_distance_of_features(x, GOOD),
        lambda x: frechet_distance_of_features(GOOD, x),
        lambda x: kernel_distance(x, GOOD),
        lambda x: _cmmd(GOOD, x),
        lambda x: prdc(x, GOOD, k=3),
        lambda x: prdc(GOOD, x, k=3),
        lambda x: nearest_by_cosine(x, GOOD),
        lambda x: nearest_by_cosine(GOOD, x),
        _vendi,
    ],
)
def test_features_that_are_not_finite_are_refused(
    metric: Callable[[Array], object], bad: float
) -> None:
    x = GOOD.astype(np.float32)
    x[7, 2] = bad
    with pytest.raises(InputError, match="features: row 7 is"):
        metric(x)


@pytest.mark.parametrize("metric", [_vendi, lambda x: frechet_distance_of_features(x, WIDE)])
def test_so_are_those_of_few_images(metric: Callable[[Array], object]) -> None:
    x = WIDE.copy()
    x[2, 5] = np.nan
    with pytest.raises(InputError, match="features: row 2 is"):
        metric(x)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize(
    "metric",
    [
        lambda s: auroc(s, POSITIVE),
        lambda s: weighted_average_precision(s, POSITIVE, ONCE),
        lambda s: best_threshold(s, POSITIVE),
        lambda s: true_positive_rate(s, np.linspace(0, 1, 9), 0.1),
        lambda s: true_positive_rate(np.linspace(0, 1, 9), s, 0.1),
        lambda s: weighted_ece(s, POSITIVE, ONCE),
        lambda s: ece_floor(s, 0),
        lambda s: reliability(s, POSITIVE),
        lambda s: calibrate(s, PATIENTS, 0.1),
        lambda s: predicted_no_finding(s[:, None], [0.5], ["Edema"]),
        lambda s: clip_scores(
            s[:, None], np.ones((30, 1)), PATIENTS, PATIENTS, np.ones((3, 30), int),
            name="a", seed=0,
        ),
        lambda s: recalls(np.ones((30, 1)), s[:, None]),
    ],
)  # fmt: skip
def test_scores_that_are_not_finite_are_refused(
    metric: Callable[[Array], object], bad: float
) -> None:
    scores = np.linspace(0.01, 0.99, 30)
    scores[3] = bad
    with pytest.raises(InputError, match="row 3 is NaN"):
        metric(scores)


def test_a_mean_ignores_unknown_values_but_refuses_infinite_ones() -> None:
    assert weighted_mean(np.array([1.0, np.nan, 3.0]), np.ones((1, 3)))[0] == 2
    with pytest.raises(InputError, match="infinite"):
        weighted_mean(np.array([1.0, np.inf, 3.0]), np.ones((1, 3)))


@pytest.mark.parametrize("bad", [-0.1, 1.1])
def test_calibration_refuses_what_is_no_probability(bad: float) -> None:
    scores = np.linspace(0.01, 0.99, 30)
    scores[3] = bad
    for metric in (lambda: weighted_ece(scores, POSITIVE, ONCE), lambda: ece_floor(scores, 0)):
        with pytest.raises(InputError, match="between 0 and 1"):
            metric()


def test_constant_features() -> None:
    a, b = np.full((60, 2048), 0.3, np.float32), np.full((70, 2048), 0.3, np.float32)
    # Equal sets: all shares are 1, and so is density.
    assert vars(prdc(a, b, k=5)) == pytest.approx(
        {"precision": 1, "recall": 1, "density": 1, "coverage": 1}
    )
    # Of one constant and another: squared distance is 2048 (0.5 - 0.3)^2, no covariance.
    c = np.full((50, 2048), 0.5)
    assert set(vars(prdc(a, c, k=5)).values()) == {0.0}
    expected = 2048 * float(np.float32(0.3) - 0.5) ** 2
    assert frechet_distance_of_features(a, c) == pytest.approx(expected, rel=1e-12)
    assert frechet_distance_of_features(a, b) == pytest.approx(0, abs=1e-9)
    x, y = float(np.float32(0.3)), 0.5
    assert kernel_distance(a, b) == pytest.approx(0, abs=1e-12)
    expected = (x * x + 1) ** 3 + (y * y + 1) ** 3 - 2 * (x * y + 1) ** 3
    assert kernel_distance(a, c) == pytest.approx(expected, rel=1e-9)
    assert _cmmd(a, b) == pytest.approx(0, abs=1e-9)
    assert vendi_jackknife(a, np.arange(60) % 3)[0] == pytest.approx(1, rel=1e-9)


def test_density_of_copies_is_one_for_equal_sets() -> None:
    # Three clusters of copies, as far apart as you like: real and synthetic are the same.
    points = np.random.default_rng(3).standard_normal((3, 512)) * 10
    x = np.repeat(points, [20, 30, 10], axis=0)
    found = prdc(x, x, k=5)
    assert vars(found) == pytest.approx({"precision": 1, "recall": 1, "density": 1, "coverage": 1})


def test_the_frechet_distance_of_rank_deficient_features_is_exact() -> None:
    # Along one direction u, sets are a line: (mean_a - mean_b)^2 + (deviation_a - deviation_b)^2.
    draws = np.random.default_rng(2)
    u = draws.standard_normal(64)
    u /= np.linalg.norm(u)
    for n, m in ((400, 300), (20, 15)):
        s, t = draws.standard_normal(n), 2 * draws.standard_normal(m) + 1
        expected = (s.mean() - t.mean()) ** 2 + (s.std(ddof=1) - t.std(ddof=1)) ** 2
        found = frechet_distance_of_features(np.outer(s, u), np.outer(t, u))
        assert found == pytest.approx(expected, rel=1e-6)


def test_zero_features_have_no_direction() -> None:
    for metric in (lambda x: _cmmd(x, GOOD), lambda x: _cmmd(GOOD, x), _vendi):
        with pytest.raises(InputError, match="zero"):
            metric(np.zeros((5, 4)))


def test_kid_of_a_resample_of_one_image_is_not_known() -> None:
    from roentgen.metrics.features.kernel_distances import kernel_distances

    weights = np.array([[1, 1], [2, 0]])
    found = kernel_distances(GOOD[:2], GOOD, weights, np.ones((2, 30), int))
    assert np.isfinite(found[0])
    assert np.isnan(found[1])


def test_intervals_of_constant_replicates_are_the_value() -> None:
    assert percentile_interval(np.full(50, 0.7)) == (0.7, 0.7)
    assert normal_interval(0.7, np.full(50, 0.7)) == pytest.approx((0.7, 0.7))
    assert auroc(np.full(30, 0.5), POSITIVE) == 0.5
    assert weighted_average_precision(np.full(30, 0.5), POSITIVE, ONCE)[0] == 0.5
