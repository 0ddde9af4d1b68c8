"""Softness against the Laplacian of a wave, and of sets of which a known share was blurred."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from eval.fidelity.softness import detail, softness
from eval.sets import read_set
from roentgen.dataset.dataset import open_dataset


@pytest.mark.parametrize("period", [4, 8, 16])
def test_the_detail_of_a_wave(period: int) -> None:
    """The Laplacian of a wave along x is the wave times 2 - 2 cos(2 pi / period)."""
    x = np.arange(10 * period + 2)
    wave = np.tile(127.5 + 100 * np.cos(2 * np.pi * x / period), (66, 1))
    found = detail(wave.round().astype(np.uint8)[None])
    assert found == pytest.approx(np.log(2 - 2 * np.cos(2 * np.pi / period)), abs=0.05)


def test_detail_is_scipys_laplacian_and_heeds_no_contrast() -> None:
    image = np.random.default_rng(0).integers(60, 120, (1, 40, 40), dtype=np.uint8)
    inner = ndimage.laplace(image[0].astype(float))[1:-1, 1:-1]
    assert detail(image) == pytest.approx(np.log(inner.std() / image.std()))
    assert detail(2 * image + 7) == pytest.approx(detail(image))
    blurred = ndimage.gaussian_filter(image[0].astype(float), 1).round().astype(np.uint8)
    assert detail(blurred[None]) < detail(image) - 1


def test_an_image_of_one_gray_has_none() -> None:
    assert detail(np.full((2, 8, 8), 7, np.uint8)).tolist() == [-20.0, -20.0]


def test_the_share_of_held_out_films_is_what_was_asked(tmp_path: Path, write_drawn: Any) -> None:
    folder = write_drawn(tmp_path / "set", {"train": 200, "test": 400}, 1)
    train, test = (
        read_set(
            split,
            open_dataset(folder),
            [split],
            findings=("Pneumothorax",),
            not_mentioned="ignore",
            max_images=None,
            seed=0,
        )
        for split in ("train", "test")
    )
    found = softness({"train": train, "test": test}, test)
    # Of 200 held-out patients the softest two may be below the threshold: it is the second's film.
    assert found["patients"] == 200
    assert found["guaranteed"] == pytest.approx(2 / 201)
    assert found["share"]["test"].value == pytest.approx(1 / 400)
    assert found["share"]["train"].value < 0.04
    assert found["share"]["train"].low < 0.01
