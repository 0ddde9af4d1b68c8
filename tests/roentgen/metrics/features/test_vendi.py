import numpy as np
import pytest

from roentgen.metrics.features.feature_set import BLOCK, Features
from roentgen.metrics.features.vendi import vendi_jackknife


def vendi_score(features: Features) -> float:
    return vendi_jackknife(features, np.zeros(len(features), dtype=np.int64))[0]


def test_all_alike_is_one_and_right_angles_are_n() -> None:
    assert vendi_score(np.tile([[1.0, 2.0]], (9, 1))) == pytest.approx(1)
    assert vendi_score(np.eye(7) * 3) == pytest.approx(7)
    assert vendi_score(np.repeat(np.eye(4), 5, axis=0)) == pytest.approx(4)  # the effective number


def test_both_forms_agree_with_the_definition() -> None:
    draws = np.random.default_rng(0)
    for n, d in ((30, 8), (8, 30)):
        x = draws.standard_normal((n, d))
        unit = x / np.linalg.norm(x, axis=1, keepdims=True)
        values = np.linalg.eigvalsh(unit @ unit.T / n).clip(min=1e-300)
        expected = np.exp(-np.sum(values * np.log(values)))
        assert vendi_score(x) == pytest.approx(expected, rel=1e-9)


def test_zero_features_are_refused() -> None:
    with pytest.raises(ValueError, match="none of them zero"):
        vendi_score(np.zeros((3, 2)))


def test_what_is_left_without_each_group_is_the_score_of_the_others() -> None:
    draws = np.random.default_rng(1)
    for n, d in ((BLOCK + 200, 6), (40, 60)):
        x, group = draws.standard_normal((n, d)), draws.integers(4, size=n)
        value, left = vendi_jackknife(x, group)
        assert value == pytest.approx(vendi_score(x), rel=1e-12)
        assert left == pytest.approx([vendi_score(x[group != k]) for k in range(4)], rel=1e-9)
    assert not len(vendi_jackknife(x, np.zeros(40, int))[1])
