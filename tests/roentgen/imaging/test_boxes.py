"""Boxes keep their place on padded and cropped images."""

import math

import pytest

from roentgen.errors import InputError
from roentgen.imaging.boxes import SourceBox, place_box
from roentgen.imaging.images import Fit
from roentgen.record.radiograph import Box


def test_boxes_are_scaled_and_shifted_as_the_image() -> None:
    def place(left: float, top: float, right: float, bottom: float, *, fit: Fit) -> Box | None:
        return place_box(SourceBox("mass", left, top, right, bottom), (200, 100), 50, fit)

    # Padded: scale 1/4, 12 black rows above (25 of 50 rows, rounded down).
    assert place(40, 20, 80, 60, fit="pad") == Box(
        structure="mass", left=10, top=17, right=20, bottom=27
    )
    # Cropped: the columns from 50 to 150, scale 1/2.
    assert place(40, 20, 80, 60, fit="crop") == Box(
        structure="mass", left=0, top=10, right=15, bottom=30
    )
    assert place(0, 0, 50, 100, fit="crop") is None
    assert place(0, 0, 200, 100, fit="pad") == Box(
        structure="mass", left=0, top=12, right=50, bottom=37
    )
    # A little beyond the image is drawn to its edge.
    assert place(-2, 0, 202, 100, fit="pad") == place(0, 0, 200, 100, fit="pad")


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ((10, 10, 10, 20), "has no area"),
        ((10, 30, 20, 20), "has no area"),
        ((math.nan, 0, 1, 1), "has no area"),
        ((0, 0, math.inf, 1), "has no area"),
        ((0, 0, 400, 50), "reaches beyond its image of 200x100"),
        ((0, 90, 10, 120), "reaches beyond"),
        ((-20, 0, 10, 10), "reaches beyond"),
    ],
)
def test_boxes_that_cannot_be_are_refused(
    edges: tuple[float, float, float, float], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        place_box(SourceBox("mass", *edges), (200, 100), 50, "pad")
