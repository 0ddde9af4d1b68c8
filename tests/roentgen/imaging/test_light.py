"""Notes on the light of images."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from roentgen.errors import UnwantedError
from roentgen.imaging.images import encode_png, prepare_image, read_prepared
from roentgen.imaging.light import LightNote, looks_inverted

MakeDicom = Callable[..., bytes]
SHARED = Path(__file__).parents[3] / "../shared/cxr"


def chest() -> np.ndarray:
    """Air around a body of 180 with two lungs of 60: uint8 [128, 128]."""
    gray = np.full((128, 128), 5, np.uint8)
    gray[20:, 10:118] = 180
    gray[30:90, 22:52] = gray[30:90, 76:106] = 60
    return gray


def notes(image: np.ndarray) -> set[LightNote]:
    light = read_prepared(encode_png(image), 64, "pad").light
    assert np.array_equal(
        read_prepared(encode_png(image), 64, "pad").pixels,
        prepare_image(encode_png(image), 64, "pad"),
    )
    return set(light)


def test_an_ordinary_image_has_no_note() -> None:
    assert notes(chest()) == set()
    assert notes(np.pad(chest(), ((0, 0), (0, 60)))[:, :128]) == set()


def test_white_black_and_negative_images_are_noted() -> None:
    white = chest()
    white[80:] = 255  # 37 %
    assert notes(white) == {LightNote.SATURATED}
    white[:110] = chest()[:110]  # 14 %
    assert notes(white) == set()
    assert notes(chest() // 8) == {LightNote.BLACK}
    assert notes(255 - chest()) == {LightNote.INVERTED}
    # Borders of padding do not count: a wide image that is all white but one row.
    wide = np.full((20, 128), 255, np.uint8)
    wide[0] = 0
    assert LightNote.SATURATED in notes(wide)


def test_windows_far_from_the_values_and_measured_ranges_are_noted(make_dicom: MakeDicom) -> None:
    words = chest().astype(np.uint16) * 16
    for window, expected in (
        ({"WindowCenter": 1500, "WindowWidth": 3000}, set()),
        ({"WindowCenter": 900, "WindowWidth": 2}, {LightNote.WINDOW, LightNote.SATURATED}),
        # Its tissue is one plateau, far from the lungs.
        ({}, {LightNote.MEASURED, LightNote.SATURATED, LightNote.GAP}),
    ):
        assert set(read_prepared(make_dicom(words, stored=12, **window), 64, "pad").light) == (
            expected
        ), window
    deep = encode_png(chest())
    assert read_prepared(deep, 64, "pad", white=65535).light == ()


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"Modality": "CT"}, "its Modality is CT"),
        ({"Modality": "io"}, "its Modality is IO"),
        ({"BodyPartExamined": "HAND"}, "its BodyPartExamined is HAND"),
        ({"BodyPartExamined": "CHEST"}, None),
        ({"BodyPartExamined": "PORT CHEST", "Modality": "CR"}, None),
        ({"Modality": ""}, None),
        ({"Modality": "OT"}, None),
    ],
)
def test_images_of_no_chest_are_refused_if_asked(
    make_dicom: MakeDicom, elements: dict[str, str], reason: str | None
) -> None:
    data = make_dicom(chest(), **elements)
    shown = read_prepared(data, 64, "pad")
    if reason is None:
        found = read_prepared(data, 64, "pad", chest_only=True)
        assert np.array_equal(found.pixels, shown.pixels)
    else:
        with pytest.raises(UnwantedError, match=f"is no chest radiograph: {reason}"):
            read_prepared(data, 64, "pad", chest_only=True)


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared/cxr")
def test_real_radiographs_do_not_look_inverted_and_most_negatives_do() -> None:
    paths = sorted((SHARED / "films/images").iterdir())[::3]
    images = [prepare_image(path, 128, "crop") for path in paths]
    assert not any(map(looks_inverted, images))
    assert sum(looks_inverted(255 - image) for image in images) > 0.75 * len(images)
