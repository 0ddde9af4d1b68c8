"""Run-lengths become the pixels that a naive encoder wrote; what is none is refused."""

import numpy as np
import pytest

from roentgen.errors import InputError
from roentgen.imaging.boxes import SourceBox, place_box
from roentgen.imaging.images import decode, encode_png, prepare_image
from roentgen.imaging.run_length import decode_run_length, place_runs


def encode(mask: np.ndarray, *, relative: bool) -> str:
    """Pixel by pixel down the columns, as the challenges' pages describe it."""
    height, width = mask.shape
    numbers: list[int] = []
    since, length = 0, 0  # pixels since the last run's end; of the run we are in
    for pixel in range(height * width + 1):
        inside = pixel < height * width and mask[pixel % height, pixel // height]
        if inside:
            length += 1
        elif length:
            numbers += [since if relative else pixel - length + 1, length]
            since, length = 1, 0
        else:
            since += 1
    return " ".join(map(str, numbers)) or "-1"


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("share", [0.0, 0.03, 0.5, 1.0])
def test_decoding_undoes_a_naive_encoding(share: float, relative: bool) -> None:
    mask = np.random.default_rng(3).random((17, 23)) < share
    text = encode(mask, relative=relative)
    assert np.array_equal(decode_run_length(text, 17, 23, relative=relative), mask)


def test_pixels_are_counted_down_the_columns() -> None:
    mask = decode_run_length("3 2", 4, 3, relative=True)
    assert np.argwhere(mask).tolist() == [[0, 1], [3, 0]]
    assert np.argwhere(decode_run_length("1 1", 4, 3, relative=False)).tolist() == [[0, 0]]
    assert not decode_run_length(" -1", 4, 3, relative=True).any()


@pytest.mark.parametrize(
    ("text", "relative", "message"),
    [
        ("0 13", True, "reaches pixel 13 of an image of 3x4"),
        ("1 12 1 1", False, "reaches pixel 12|overlap"),
        ("12 2", False, "reaches pixel 13"),
        ("99999999999999999999999 1", True, "has '99999999999999999999'"),
        ("1 x", True, "has 'x': expected whole numbers"),
        ("1 -2", True, "has '-2'"),
        ("1.5 2", True, r"has '1\.5'"),
        ("\u0661 1", True, "expected whole numbers"),
        ("1 2 3", True, "has 3 numbers: expected pairs"),
        ("  ", True, "is blank"),
        ("0 2", False, "count from 1"),
        ("3 2 2 2", False, "overlap or go back"),
    ],
)
def test_wrong_run_lengths_are_refused(text: str, relative: bool, message: str) -> None:
    with pytest.raises(InputError, match=message):
        decode_run_length(text, 4, 3, relative=relative)


@pytest.mark.parametrize("fit", ["pad", "crop"])
@pytest.mark.parametrize("shape", [(60, 90), (90, 60), (64, 64)])
@pytest.mark.parametrize("copy", [1, 2])
def test_mask_and_box_lie_on_the_bright_square(fit: str, shape: tuple[int, int], copy: int) -> None:
    height, width = shape
    image = np.zeros(shape, np.uint8)
    image[12:42, 18:48] = 255
    film = np.kron(image, np.ones((copy, copy), np.uint8))  # a copy of another size
    prepared = prepare_image(encode_png(film), 32, fit) >= 128  # type: ignore[arg-type]
    runs = encode(image > 0, relative=True)
    size = (width * copy, height * copy)
    mask = place_runs([runs], (width, height), size, 32, fit)  # type: ignore[arg-type]
    assert mask is not None
    placed = decode(mask)
    assert set(np.unique(placed)) == {0, 255}
    differ = (placed > 0) ^ prepared
    rows, columns = np.nonzero(prepared)
    # Nearest neighbor and bicubic disagree on the rim only.
    assert not differ[rows.min() + 1 : rows.max(), columns.min() + 1 : columns.max()].any()
    assert differ.sum() <= 2 * (np.ptp(rows) + np.ptp(columns) + 4)
    box = place_box(SourceBox("s", 18, 12, 48, 42), (width, height), 32, fit)  # type: ignore[arg-type]
    assert box is not None
    edges = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert (box.left, box.top, box.right, box.bottom) == pytest.approx(edges, abs=0.51)


def test_a_mask_of_which_nothing_is_left_is_none() -> None:
    mask = np.zeros((20, 60), bool)
    assert place_runs(["-1"], (60, 20), (60, 20), 8, "pad") is None
    mask[:, :10] = True  # outside the centred square
    assert place_runs([encode(mask, relative=True)], (60, 20), (60, 20), 8, "crop") is None
    left, right = np.zeros((2, 20, 60), bool)
    left[:, 20:30], right[:, 30:40] = True, True
    both = [encode(m, relative=True) for m in (left, right)]
    placed = place_runs(both, (60, 20), (60, 20), 8, "crop")
    assert placed is not None
    assert decode(placed).min() == 255
