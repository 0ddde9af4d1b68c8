from typing import Any

import numpy as np
import pytest

from eval.fidelity import FeatureSet, fidelity, matched_distance
from eval.frechet import frechet_distance_of_features


def gaussian(n: int, seed: int, shift: float = 0.0) -> FeatureSet:
    values = np.random.default_rng(seed).standard_normal((n, 8)) + shift
    return FeatureSet(
        features=values.astype(np.float32), patients=[f"{seed}-{i}" for i in range(n)]
    )


def measure(sets: dict[str, FeatureSet], train: FeatureSet, test: FeatureSet) -> dict[str, Any]:
    return fidelity(sets, train, test, subsets=5, samples=40, seed=0)


def test_excess_and_the_share_lost_are_what_was_planted() -> None:
    # Means shifted by s in 8 dimensions: 8 s^2 beyond the floor.
    sets = {"before": gaussian(400, 1, 1.0), "after": gaussian(400, 2, 0.5)}
    result = measure(sets, gaussian(900, 3), gaussian(300, 4))
    assert result.n == 400
    assert result["excess"]["before"].value == pytest.approx(8, rel=0.1)
    assert result["excess"]["after"].value == pytest.approx(2, rel=0.2)
    lost = result["excess_lost"]["after"]
    assert lost.value == pytest.approx(0.75, abs=0.05)
    assert 0.6 < lost.low < lost.value < lost.high < 0.9
    assert result["kid"]["before"].value > result["kid"]["after"].value > 0.1
    assert abs(result["kid"]["floor"].value) < 0.05


def test_a_set_like_the_real_one_has_no_excess_even_at_small_n() -> None:
    # Few images bias FID upwards; at matched n the floor carries the same bias.
    result = measure({"good": gaussian(40, 1)}, gaussian(500, 2), gaussian(60, 3))
    assert result["fid"]["floor"].value > 0.2
    excess = result["excess"]["good"]
    assert excess.low < 0 < excess.high


def test_identical_features_are_at_zero_and_the_interval_does_not_go_below() -> None:
    test = gaussian(100, 1)
    result = measure({"copy": test}, gaussian(100, 2), test)
    assert result["fid"]["copy"].value == pytest.approx(0, abs=1e-9)
    assert result["fid"]["copy"].low == 0
    assert result["excess"]["copy"].value < 0


def test_no_excess_to_lose_is_said() -> None:
    train = gaussian(100, 2, 1.0)
    result = measure({"a": gaussian(100, 3), "b": gaussian(100, 4)}, train, gaussian(100, 1))
    assert result["excess_lost"]["b"].value is None
    assert "no excess" in result["excess_lost"]["b"].note


def test_larger_sets_are_cut_to_the_same_number() -> None:
    big, test = gaussian(200, 1), gaussian(50, 2)
    seen: list[int] = []

    def spy(a: np.ndarray, b: np.ndarray) -> float:
        seen.append(len(a))
        return frechet_distance_of_features(a, b)

    matched_distance(spy, big.features, test.features, 30, 4, 0)
    assert seen == [30] * 4
