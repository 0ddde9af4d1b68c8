import numpy as np
import pytest
import scipy.linalg
import torch
from torchmetrics.image.fid import _compute_fid

from roentgen.metrics.features.frechet import (
    Moments,
    Sample,
    frechet_distance,
    frechet_distance_of_features,
    sample_distance,
)


def features(n: int, d: int, seed: int, scale: float = 1.0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    mix = generator.standard_normal((d, d))
    return (generator.standard_normal((n, d)) @ mix * scale + seed).astype(np.float32)


def by_square_root(a: np.ndarray, b: np.ndarray) -> float:
    """The definition, with SciPy's matrix square root."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    ca, cb = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(ca @ cb).real
    gap = a.mean(axis=0) - b.mean(axis=0)
    return float(gap @ gap + np.trace(ca + cb - 2 * root))


@pytest.mark.parametrize(("n", "m", "d"), [(200, 300, 16), (500, 120, 40)])
def test_agrees_with_the_matrix_square_root_and_torchmetrics(n: int, m: int, d: int) -> None:
    a, b = features(n, d, 1), features(m, d, 2, scale=1.5)
    ours = frechet_distance_of_features(a, b)
    assert ours == pytest.approx(by_square_root(a, b), rel=1e-9)
    ta, tb = torch.from_numpy(a).double(), torch.from_numpy(b).double()
    theirs = float(_compute_fid(ta.mean(0), ta.T.cov(), tb.mean(0), tb.T.cov()))
    assert ours == pytest.approx(theirs, rel=1e-5)


def test_closed_form_of_diagonal_gaussians() -> None:
    # N(m, diag s^2): sum of (m1 - m2)^2 + (s1 - s2)^2.
    a = Moments(11, np.array([0.0, 1.0]), np.diag([1.0, 4.0]) * 10)
    b = Moments(11, np.array([2.0, 1.0]), np.diag([9.0, 1.0]) * 10)
    assert frechet_distance(a, b) == pytest.approx(4 + (1 - 3) ** 2 + (2 - 1) ** 2, rel=1e-12)


def test_identical_sets_are_at_distance_zero() -> None:
    a = features(100, 20, 3)
    scale = float(np.trace(Moments.of(a).covariance))
    assert frechet_distance_of_features(a, a[::-1]) < 1e-9 * scale
    few = features(10, 50, 3)
    assert frechet_distance_of_features(few, few) < 1e-9 * float(np.sum(few.astype(float) ** 2))


def test_low_rank_form_is_exact() -> None:
    a, b = features(12, 40, 1), features(15, 40, 2)
    full = frechet_distance(Moments.of(a), Moments.of(b))
    assert frechet_distance_of_features(a, b) == pytest.approx(full, rel=1e-6)


def test_moments_are_exact_far_from_zero() -> None:
    a = features(101, 8, 4) + 1e4  # where naive sums lose digits
    expected = np.cov(a.astype(np.float64), rowvar=False)
    np.testing.assert_allclose(Moments.of(a).covariance, expected, rtol=1e-9, atol=1e-9)


def test_too_few_features_are_refused() -> None:
    with pytest.raises(ValueError, match="2 features"):
        frechet_distance_of_features(np.ones((1, 3)), np.ones((5, 3)))


def test_singular_covariances_are_taken() -> None:
    a, b = features(60, 6, 1), features(50, 6, 2)
    for x in (a, b):
        x[:, 3] = x[:, 2]  # one dimension says nothing new, another nothing at all
        x[:, 5] = 0
    kept = [0, 1, 2, 4]
    turned = [x[:, kept] * [1, 1, np.sqrt(2), 1] for x in (a, b)]  # the same without the two
    assert frechet_distance_of_features(a, b) == pytest.approx(by_square_root(*turned), rel=1e-6)


@pytest.mark.parametrize("d", [6, 400])  # by moments, and in low-rank form
def test_counting_a_feature_twice_is_having_it_twice(d: int) -> None:
    a, b = features(60, d, 1), features(50, d, 2)
    counts = np.random.default_rng(0).integers(0, 4, 60)
    repeated = Sample(np.repeat(a, counts, axis=0))
    expected = sample_distance(repeated, Sample(b))
    assert sample_distance(Sample(a, counts), Sample(b)) == pytest.approx(expected, rel=1e-9)


def test_moments_do_not_depend_on_how_features_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    a = features(101, 8, 4)
    whole = Moments.of(a)
    parts = Moments.of(a[:17]) + (Moments.of(a[17:18]) + Moments.of(a[18:]))
    monkeypatch.setattr("roentgen.metrics.features.feature_set.BLOCK", 10)
    for other in (parts, Moments.of(a)):
        assert other.n == 101
        np.testing.assert_allclose(other.mean, whole.mean, rtol=1e-12)
        np.testing.assert_allclose(other.scatter, whole.scatter, rtol=1e-10, atol=1e-9)
