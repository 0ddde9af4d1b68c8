"""Contact sheets."""

import numpy as np
import pytest

from roentgen.imaging.contact_sheet import contact_sheet


def test_every_image_is_on_the_sheet_in_reading_order() -> None:
    images = [np.full((200, 200), 40 * i + 30, np.uint8) for i in range(5)]
    sheet = contact_sheet(images, ["a", "b", "c", "d", "e"], columns=3)
    assert sheet.dtype == np.uint8
    places = [np.argwhere(sheet == 40 * i + 30) for i in range(5)]
    assert all(len(place) >= 200 * 200 for place in places)
    centres = [tuple(np.median(place, axis=0)) for place in places]
    assert centres == sorted(centres)
    assert centres[3][1] == pytest.approx(centres[0][1], abs=2)


def test_captions_are_drawn_and_wrap() -> None:
    image = np.zeros((160, 160), np.uint8)
    none = contact_sheet([image], [""], columns=1)
    short = contact_sheet([image], ["PA: edema"], columns=1)
    long = contact_sheet([image], ["PA: " + "consolidation, " * 20], columns=1)
    assert (short == 255).sum() > (none == 255).sum()
    assert long.shape[0] > short.shape[0] == none.shape[0]
    assert long.shape[0] < short.shape[0] + 60  # not endless


def test_small_images_are_enlarged_and_sizes_may_differ() -> None:
    small, wide = np.full((32, 32), 77, np.uint8), np.full((100, 300), 99, np.uint8)
    sheet = contact_sheet([small, wide], ["small", "wide"], columns=8)
    assert (sheet == 77).sum() >= 160 * 160
    assert (sheet == 99).sum() >= 100 * 300


def test_wrong_calls_are_refused() -> None:
    with pytest.raises(ValueError, match="1 images, 0 captions"):
        contact_sheet([np.zeros((4, 4), np.uint8)], [], columns=1)
