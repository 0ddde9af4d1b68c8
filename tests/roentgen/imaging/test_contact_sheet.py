"""Contact sheets."""

from itertools import pairwise

import numpy as np
import pytest
from PIL import ImageFont

from roentgen.imaging.contact_sheet import contact_sheet, side_by_side, wrap

PROMPT = (
    "PA: 63 year old woman, severe enlarged cardiomediastinum, small left pleural effusion, "
    "moderate right lower zone consolidation, endotracheal tube, no pneumothorax, no fracture"
)


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
    assert long.shape[0] > short.shape[0] > none.shape[0]
    assert long.shape[0] < short.shape[0] + 100  # not endless


@pytest.mark.parametrize("side", [32, 128, 256, 512])
def test_captions_of_neighbors_do_not_overlap(side: int) -> None:
    images = [np.full((side, side, 3), (90, 0, 0), np.uint8)] * 9
    sheet = contact_sheet(images, [PROMPT + ", no edema" * 20] * 9)
    is_image = sheet[..., 1] == 0
    text = sheet[..., 1] > 24
    columns, rows = np.flatnonzero(is_image.any(axis=0)), np.flatnonzero(is_image.any(axis=1))
    # Below the images, and nowhere else: not in the margins, nor over an image.
    assert text.any()
    assert not np.delete(text, columns, axis=1).any()
    assert not text[rows].any()
    assert sum(b > a + 1 for a, b in pairwise(columns)) == 2  # a square of nine
    tops = [a + 1 for a, b in pairwise(rows) if b > a + 1]
    assert all(sheet.shape[0] // 4 < b - a < sheet.shape[0] // 2 for a, b in pairwise(tops))


@pytest.mark.parametrize("side", [160, 256, 512])
def test_a_prompt_is_not_cut_within_a_word(side: int) -> None:
    font = ImageFont.load_default(max(12, side // 18))
    lines = wrap(PROMPT, side, font)
    assert all(font.getlength(line) <= side for line in lines)
    shown = " ".join(lines)
    if shown != PROMPT:
        assert shown.endswith(" …")
        assert PROMPT.startswith(shown.removesuffix("…"))
        assert len(shown) > 100
    assert " ".join(wrap("PA: mild edema", side, font)) == "PA: mild edema"


def test_a_word_longer_than_a_line_goes_on_in_the_next() -> None:
    font = ImageFont.load_default(12)
    lines = wrap("of " + "a" * 60, 160, font)
    assert lines[0] == "of"
    assert "".join(lines[1:]) == "a" * 60
    assert all(font.getlength(line) <= 160 for line in lines)


@pytest.mark.parametrize(("count", "shape"), [(1, 1), (4, 2), (16, 4), (36, 6), (64, 8)])
def test_a_sheet_is_nearly_square(count: int, shape: int) -> None:
    sheet = contact_sheet([np.zeros((160, 160), np.uint8)] * count, ["PA: edema"] * count)
    assert sheet.shape[1] == shape * 172 + 12
    assert 1 <= sheet.shape[0] / sheet.shape[1] < 1.2


def test_a_sheet_of_wide_images_is_nearly_square_too() -> None:
    row = side_by_side([np.full((160, 160), value, np.uint8) for value in (60, 90, 120, 150)])
    assert row.shape == (160, 4 * 160 + 3 * 2)
    sheet = contact_sheet([row] * 16, ["PA: edema"] * 16)
    assert 0.7 < sheet.shape[0] / sheet.shape[1] < 1.4


def test_images_side_by_side_may_be_in_color() -> None:
    gray, color = np.full((4, 4), 7, np.uint8), np.full((4, 6, 3), 9, np.uint8)
    row = side_by_side([gray, color])
    assert row.shape == (4, 12, 3)
    assert (row[:, :4] == 7).all()
    assert (row[:, 6:] == 9).all()


def test_small_images_are_enlarged_and_sizes_may_differ() -> None:
    small, wide = np.full((32, 32), 77, np.uint8), np.full((160, 300), 99, np.uint8)
    sheet = contact_sheet([small, wide], ["small", "wide"], columns=8)
    assert (sheet == 77).sum() >= 160 * 160
    assert (sheet == 99).sum() >= 160 * 300


def test_wrong_calls_are_refused() -> None:
    with pytest.raises(ValueError, match="1 images, 0 captions"):
        contact_sheet([np.zeros((4, 4), np.uint8)], [], columns=1)
