"""Masks lie on their images whatever the fit."""

import io
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from roentgen.errors import InputError
from roentgen.imaging.images import Fit, decode, encode_png, prepare_image
from roentgen.imaging.masks import prepare_mask


def prepared(
    source: Path | bytes, image_size: tuple[int, int], size: int | None, fit: Fit
) -> np.ndarray:
    """The pixels of a mask that stays visible."""
    mask = prepare_mask(source, image_size, size, fit)
    assert mask is not None
    return decode(mask)


def block(height: int, width: int, value: int = 255) -> np.ndarray:
    """A bright block off the centre, on black."""
    image = np.zeros((height, width), np.uint8)
    image[height // 4 : height // 2, width // 3 : width // 2] = value
    return image


@pytest.mark.parametrize("fit", ["pad", "crop"])
@pytest.mark.parametrize("shape", [(90, 60), (60, 90), (61, 61), (33, 64)])
def test_mask_lies_on_its_image(fit: Literal["pad", "crop"], shape: tuple[int, int]) -> None:
    image = encode_png(block(*shape))
    mask = prepared(image, (shape[1], shape[0]), 48, fit) >= 128
    pixels = prepare_image(image, 48, fit) >= 128
    assert mask.shape == (48, 48)
    union = (mask | pixels).sum()
    assert (mask & pixels).sum() / union > 0.85  # one is resampled by area, the other by centre


@pytest.mark.parametrize("value", [1, 128, 255])
def test_any_two_values_become_0_and_255(value: int) -> None:
    mask = prepared(encode_png(block(40, 40, value)), (40, 40), None, "pad")
    assert np.array_equal(mask, block(40, 40))


def test_one_bit_masks_are_read() -> None:
    file = io.BytesIO()
    Image.fromarray(block(40, 40)).convert("1").save(file, "PNG")
    mask = prepared(file.getvalue(), (40, 40), None, "pad")
    assert np.array_equal(mask, block(40, 40))


def test_empty_mask_stays_empty() -> None:
    empty = encode_png(np.zeros((40, 40), np.uint8))
    assert not prepared(empty, (40, 40), 16, "pad").any()


def test_mask_of_another_size_but_the_same_aspect_is_scaled() -> None:
    half = prepared(encode_png(block(40, 60)), (120, 80), 48, "pad")
    full = prepared(encode_png(block(80, 120)), (120, 80), 48, "pad")
    assert (half == full).mean() > 0.98


def test_mask_of_another_aspect_is_refused() -> None:
    with pytest.raises(InputError, match="is 40x40, its image 60x40: they must"):
        prepare_mask(encode_png(block(40, 40)), (60, 40), 32, "pad")


def test_label_map_is_refused() -> None:
    with pytest.raises(InputError, match="values 0 to 3"):
        prepare_mask(encode_png(block(40, 40, 3)), (40, 40), 32, "pad")


def test_values_between_classes_are_refused_but_for_the_noise_of_jpeg() -> None:
    gray = block(40, 40)
    gray[12, 12] = 100
    with pytest.raises(InputError, match="has the value 100 between 0 and 255: one file a struct"):
        prepare_mask(encode_png(gray), (40, 40), 32, "pad")
    file = io.BytesIO()
    Image.fromarray(block(40, 40)).save(file, "JPEG", quality=75)
    pixels = decode(file.getvalue())
    assert len(np.unique(pixels)) > 2
    mask = prepared(file.getvalue(), (40, 40), None, "pad")
    assert np.array_equal(mask, block(40, 40))


def test_a_mask_that_is_cropped_away_is_not_there() -> None:
    mask = np.zeros((40, 80), np.uint8)
    mask[20, 5] = 255
    assert prepare_mask(encode_png(mask), (80, 40), 20, "crop") is None
    assert prepared(encode_png(mask), (80, 40), 20, "pad").any()
    assert not prepared(encode_png(np.zeros((40, 80), np.uint8)), (80, 40), 20, "crop").any()
