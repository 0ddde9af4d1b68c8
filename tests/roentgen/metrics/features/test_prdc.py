from typing import Any

import numpy as np
import pytest

from roentgen.metrics.features.prdc import kth_distances, prdc

Array = np.ndarray[Any, Any]


def by_definition(x: Array, y: Array, k: int) -> dict[str, float]:
    """Pair by pair, as the papers define them."""

    def gaps(p: Array, q: Array) -> Array:
        return np.array([[np.linalg.norm(u - v) for v in q] for u in p])

    reach_x, reach_y = np.sort(gaps(x, x))[:, k], np.sort(gaps(y, y))[:, k]
    across = gaps(x, y)
    inside = across <= reach_x[:, None]
    return {
        "precision": float(inside.any(axis=0).mean()),
        "recall": float((across <= reach_y).any(axis=1).mean()),
        "density": float(inside.sum() / (k * len(y))),
        "coverage": float((across.min(axis=1) < reach_x).mean()),
    }


@pytest.mark.parametrize("k", [1, 3, 5])
def test_agrees_with_the_definitions(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roentgen.metrics.features.feature_set.BLOCK", 13)
    draws = np.random.default_rng(k)
    x, y = draws.standard_normal((40, 3)), draws.standard_normal((31, 3)) * 0.7 + 0.4
    assert vars(prdc(x, y, k=k)) == pytest.approx(by_definition(x, y, k))


def test_equal_disjoint_and_collapsed_sets() -> None:
    x = np.random.default_rng(0).standard_normal((200, 4))
    same = prdc(x, x, k=5)
    assert same.precision == same.recall == same.coverage == 1
    apart = prdc(x, x + 100, k=5)
    assert (apart.precision, apart.recall, apart.density, apart.coverage) == (0, 0, 0, 0)
    collapsed = prdc(x, np.repeat(x[:2], 100, axis=0), k=5)
    assert collapsed.precision == 1
    assert collapsed.recall <= 0.02
    assert collapsed.coverage < 0.2


def test_density_of_equal_distributions_is_one() -> None:
    # Naeem et al. 2020, lemma 1: density 1, coverage 1 - (1/2)^k in the limit.
    draws = np.random.default_rng(1)
    found = [
        prdc(draws.standard_normal((400, 8)), draws.standard_normal((400, 8)), k=5)
        for _ in range(10)
    ]
    assert np.mean([f.density for f in found]) == pytest.approx(1, abs=0.05)
    assert np.mean([f.coverage for f in found]) == pytest.approx(1 - 0.5**5, abs=0.01)


def test_copies_have_distance_zero_to_their_neighbor() -> None:
    x = np.array([[0.0], [0.0], [3.0]])
    np.testing.assert_allclose(kth_distances(x, 1), [0, 0, 9])


def test_too_few_images_are_refused() -> None:
    with pytest.raises(ValueError, match="5 neighbors need more than 5 images, not 5, 9"):
        prdc(np.zeros((5, 2)), np.zeros((9, 2)), k=5)
