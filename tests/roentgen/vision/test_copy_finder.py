"""Copies are found whatever was done to them, and different images are not taken for copies."""

import numpy as np
import pytest
import torch

from roentgen.vision.copy_finder import SIDE, CopyFinder, correlation, details

N, SHIFT = 24, 4


def films(count: int, side: int = SIDE + 2 * SHIFT, seed: int = 0) -> np.ndarray:
    """The same smooth body in all, each with structures of its own."""
    draws = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    body = 110 + 60 * np.cos(6 * (x - 0.5)) * np.cos(4 * (y - 0.5))
    result = []
    for _ in range(count):
        own = np.zeros((side, side))
        for _ in range(30):
            cy, cx, size = draws.uniform(0, 1), draws.uniform(0, 1), draws.uniform(0.01, 0.05)
            height = draws.uniform(-30, 30)
            own += height * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * size**2))
        result.append((body + own).clip(0, 255))
    return np.stack(result).astype(np.uint8)


def at(film: np.ndarray, down: int = 0, right: int = 0) -> np.ndarray:
    place = slice(SHIFT + down, SHIFT + down + SIDE), slice(SHIFT + right, SHIFT + right + SIDE)
    return film[place]


@pytest.fixture(scope="module")
def originals() -> np.ndarray:
    return films(N)


@pytest.mark.parametrize(("down", "right"), [(0, 0), (4, -4), (-3, 2)])
def test_shifted_brightened_and_noisy_copies_are_found(
    originals: np.ndarray, down: int, right: int
) -> None:
    finder = CopyFinder(np.stack([at(film) for film in originals]), shift=SHIFT)
    draws = np.random.default_rng(1)
    copies = np.stack([at(film, down, right) for film in originals]).astype(float)
    copies = (copies - 128) * 0.75 + 140 + draws.normal(0, 8, copies.shape)
    found = finder.nearest(copies.clip(0, 255).astype(np.uint8))
    strangers = finder.nearest(np.stack([at(film) for film in films(N, seed=2)]))
    assert (found.row == np.arange(N)).all()
    assert found.similarity.min() > strangers.similarity.max()


def test_an_image_is_not_its_own_neighbor(originals: np.ndarray) -> None:
    images = np.stack([at(film) for film in originals])
    nearest = CopyFinder(images, shift=SHIFT).nearest(images, others=True)
    assert (nearest.row != np.arange(N)).all()
    itself = CopyFinder(images, shift=SHIFT).nearest(images)
    np.testing.assert_allclose(itself.similarity, 1, atol=1e-3)


def test_correlation_is_the_definition_at_every_shift() -> None:
    images = np.random.default_rng(3).integers(0, 256, (2, SIDE, SIDE), dtype=np.uint8)
    one, other = details(images)
    shift = 2
    inner = one[shift:-shift, shift:-shift].double().numpy().ravel()
    expected = max(
        np.corrcoef(inner, other[i : i + SIDE - 4, j : j + SIDE - 4].double().numpy().ravel())[0, 1]
        for i in range(5)
        for j in range(5)
    )
    found = correlation(one[None], other[None, None], shift)
    torch.testing.assert_close(found, torch.tensor([[expected]]).float(), atol=1e-4, rtol=0)
