"""Sharpness of sets of which a known share is below that of held-out radiographs."""

from pathlib import Path
from typing import Any

import pytest

from eval.fidelity.scores import sharpness
from eval.sets import read_set
from roentgen.dataset.dataset import open_dataset


def test_the_share_of_held_out_radiographs_is_the_nominal_one(
    tmp_path: Path, write_drawn: Any
) -> None:
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
    found = sharpness({"train": train, "test": test}, test)
    # Of 200 held-out patients the two least sharp may be below the threshold, the second's image.
    assert found["patients"] == 200
    assert found["guaranteed"] == pytest.approx(2 / 201)
    assert found["share_below"]["test"].value == pytest.approx(1 / 400)
    assert found["share_below"]["train"].value < 0.04
    assert found["share_below"]["train"].low < 0.01
