import numpy as np
import pytest
import torch
from torchmetrics.image.kid import poly_mmd

from roentgen.metrics.features.kernel_distances import cmmds, kernel_distance, squared_mmds


def features(n: int, d: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32) + shift


def cmmd(a: np.ndarray, b: np.ndarray) -> float:
    return float(cmmds(a, b, np.ones((1, len(a))), np.ones((1, len(b))))[0])


def test_kid_is_unbiased() -> None:
    same = [kernel_distance(features(20, 5, 2 * i), features(20, 5, 2 * i + 1)) for i in range(400)]
    assert abs(np.mean(same)) < 3 * np.std(same) / 20


def test_kid_over_all_images_is_torchmetrics() -> None:
    a, b = features(60, 16, 1), features(60, 16, 2, shift=0.3)
    theirs = float(poly_mmd(torch.from_numpy(a).double(), torch.from_numpy(b).double()))
    assert kernel_distance(a, b) == pytest.approx(theirs, rel=1e-9)


def test_blocks_do_not_change_the_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = features(50, 8, 1), features(33, 8, 2, shift=0.5)
    whole = kernel_distance(a, b), cmmd(a, b)
    monkeypatch.setattr("roentgen.metrics.features.feature_set.BLOCK", 7)
    assert (kernel_distance(a, b), cmmd(a, b)) == pytest.approx(whole, rel=1e-10)


def test_cmmd_follows_its_definition_pair_by_pair() -> None:
    a, b = features(7, 4, 1), features(5, 4, 2)
    x, y = ([v / np.linalg.norm(v) for v in z.astype(float)] for z in (a, b))

    def mean(p: list[np.ndarray], q: list[np.ndarray]) -> float:
        return float(np.mean([np.exp(-np.sum((u - v) ** 2) / 200) for u in p for v in q]))

    expected = 1000 * (mean(x, x) + mean(y, y) - 2 * mean(x, y))
    assert cmmd(a, b) == pytest.approx(expected, rel=1e-9)
    assert cmmd(a, a) == pytest.approx(0, abs=1e-9)


def test_a_shift_of_gaussians_has_a_closed_form_under_a_linear_kernel() -> None:
    a, b = features(4000, 3, 1), features(4000, 3, 2, shift=2.0)
    once = np.ones((1, 4000))
    (distance,) = squared_mmds(a, b, lambda x, y: x @ y.T, once, once, unbiased=True)
    assert distance == pytest.approx(12.0, rel=0.05)


def test_one_feature_is_refused() -> None:
    with pytest.raises(ValueError, match="2 features, not 1 and 5"):
        kernel_distance(features(1, 3, 0), features(5, 3, 1))
