import numpy as np
import pytest

from roentgen.metrics.images.dice import dice, iou


def test_they_are_counts_of_pixels() -> None:
    generator = np.random.default_rng(0)
    a = generator.random((5, 3, 16, 12)) < 0.4
    b = a ^ (generator.random(a.shape) < 0.2)
    for place in np.ndindex(5, 3):
        one, other = (set(np.flatnonzero(x[place]).tolist()) for x in (a, b))
        both = len(one & other)
        assert dice(a, b)[place] == pytest.approx(2 * both / (len(one) + len(other)), rel=1e-6)
        assert iou(a, b)[place] == pytest.approx(both / len(one | other), rel=1e-6)
    assert dice(a[:0], b[:0]).shape == (0, 3)


def test_a_square_moved_by_a_quarter_of_its_side() -> None:
    a = np.zeros((32, 32), dtype=bool)
    a[8:16, 8:16] = True
    b = np.roll(a, 2, axis=1)
    assert dice(a, b) == pytest.approx(3 / 4)
    assert iou(a, b) == pytest.approx(3 / 5)


def test_empty_masks() -> None:
    nothing, something = np.zeros((4, 4), dtype=bool), np.eye(4, dtype=bool)
    assert dice(nothing, nothing) == iou(nothing, nothing) == 1
    assert dice(nothing, something) == iou(something, nothing) == 0


def test_masks_of_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="both bool"):
        dice(np.zeros((4, 4), dtype=bool), np.zeros((4, 5), dtype=bool))
    with pytest.raises(ValueError, match="both bool"):
        iou(np.zeros((4, 4), dtype=bool), np.zeros((4, 4), dtype=np.uint8))
