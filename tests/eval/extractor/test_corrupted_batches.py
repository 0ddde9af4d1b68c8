"""Batches of corrupted images: their shares, their targets, and their seed."""

import numpy as np
import pytest
from numpy.typing import NDArray

from eval.extractor.config import CorruptionConfig
from eval.extractor.corrupted_batches import KINDS, CorruptedBatches, varied
from roentgen.errors import InputError

BLUR, NOISE, VAE, BONES = (KINDS.index(kind) for kind in ("blur", "noise", "vae", "bones"))


def config(**changes: float) -> CorruptionConfig:
    settings: dict[str, float] = {
        "batch_size": 400,
        "vae_images": 4,
        "round_trips": 2,
        "incomplete_studies": 4,
    }
    return CorruptionConfig(**{**settings, **changes})  # type: ignore[arg-type]


def sources() -> list[NDArray[np.uint8]]:
    """Dark labeled images, bright unlabeled ones."""
    generator = np.random.default_rng(0)
    return [
        (level + generator.integers(0, 30, (5, 32, 32))).astype(np.uint8) for level in (60, 160)
    ]


def test_shares_and_strengths_are_those_of_the_settings() -> None:
    images, strengths = CorruptedBatches(sources(), config(), 0).draw()
    assert images.shape == (400, 32, 32)
    assert strengths.shape == (400, len(KINDS))
    kinds = (strengths > 0).sum(axis=1)
    assert np.mean(kinds == 0) == pytest.approx(0.3, abs=0.07)
    # A second kind is now and then the first again.
    assert np.mean(kinds[kinds > 0] == 2) == pytest.approx(0.25 * 6 / 7, abs=0.06)
    assert set(np.unique(strengths[:, VAE])) == {0.0, 0.5, 1.0}
    assert set(np.unique(strengths[:, BONES])) == {0.0, 0.25, 0.5, 0.75, 1.0}
    assert strengths[:, BLUR].max() > 0.8
    assert ((strengths >= 0) & (strengths <= 1)).all()
    clean = images[kinds == 0].mean(axis=(1, 2))
    assert np.mean(clean > 120) == pytest.approx(0.4, abs=0.12)  # unlabeled


def test_noise_is_as_strong_as_its_target() -> None:
    images, strengths = CorruptedBatches(sources()[:1], config(twice=0), 0).draw()
    noise, spread = strengths[:, NOISE], images.std(axis=(1, 2))
    rows = noise > 0
    assert np.corrcoef(noise[rows], np.log(spread[rows]))[0, 1] > 0.7


def test_the_seed_decides() -> None:
    first, again, other = (CorruptedBatches(sources(), config(), s) for s in (0, 0, 1))
    for _ in range(2):
        one, same = first.draw(), again.draw()
        np.testing.assert_array_equal(one.images, same.images)
        np.testing.assert_array_equal(one.strengths, same.strengths)
        assert (other.draw().strengths != one.strengths).any()


def test_variation_blurs_nothing() -> None:
    """A shift by whole pixels and a gain: neighbors keep their differences up to rounding."""
    image = np.random.default_rng(0).integers(80, 170, (64, 64)).astype(np.uint8)
    changed = varied(image, np.random.default_rng(1)).astype(float)
    best = max(
        np.corrcoef(
            changed[8:-8, 8:-8].ravel(), np.roll(image, (-a, -b), (0, 1))[8:-8, 8:-8].ravel()
        )[0, 1]
        for a in range(-3, 4)
        for b in range(-3, 4)
    )
    assert best > 0.999


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(InputError, match=r"corruptions\.clean is 2"):
        config(clean=2)
    with pytest.raises(InputError, match=r"corruptions\.vae_images is 3"):
        config(vae_images=3)
