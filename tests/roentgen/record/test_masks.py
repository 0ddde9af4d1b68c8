from dataclasses import replace

import numpy as np
import pytest

from roentgen.dataset.structure_masks import check_structures, masks_of
from roentgen.errors import InputError
from roentgen.imaging.images import encode_png
from roentgen.record.finding import Finding
from roentgen.record.radiograph import Box, Radiograph

SIZE = 8


def radiograph(**changes: object) -> Radiograph:
    fields = {
        "id": "a",
        "patient_id": "p",
        "study_id": "s",
        "split": "train",
        "image": b"",
        "source": "test",
        "license": "CC0-1.0",
    }
    return Radiograph(**{**fields, **changes})  # type: ignore[arg-type]


def png(size: int = SIZE, inside: int = 255) -> bytes:
    pixels = np.zeros((size, size), dtype=np.uint8)
    pixels[2:5, 1:7] = inside
    return encode_png(pixels)


def test_a_mask_a_box_an_absent_finding_and_what_is_not_known() -> None:
    boxes = (
        Box(structure="nodule", left=0.6, top=1.4, right=3.5, bottom=4.4),
        Box(structure="nodule", left=6, top=6, right=9, bottom=9),  # beyond the edge
    )
    given = radiograph(
        masks={"lungs": png()},
        boxes=boxes,
        findings=(
            Finding(name="Pneumothorax", state="absent"),
            Finding(name="Consolidation", state="uncertain"),
        ),
    )
    structures = ("lungs", "nodule", "pneumothorax", "edema", "consolidation", "heart")
    masks = masks_of(given, structures, SIZE)
    lungs = np.zeros((SIZE, SIZE), dtype=bool)
    lungs[2:5, 1:7] = True
    nodule = np.zeros((SIZE, SIZE), dtype=bool)
    nodule[1:4, 1:4] = True
    nodule[6:, 6:] = True
    assert list(masks) == list(structures)
    np.testing.assert_array_equal(masks["lungs"], lungs)
    np.testing.assert_array_equal(masks["nodule"], nodule)
    for absent in ("pneumothorax", "edema"):
        mask = masks[absent]
        assert mask is not None
        assert not mask.any()
    assert masks["consolidation"] is None  # it may be there, but nobody drew where
    assert masks["heart"] is None


def test_masks_that_do_not_lie_on_their_image_are_refused() -> None:
    for mask, match in (
        (png(size=16), "is 16x16, images are 8x8"),
        (png(inside=100), "has the value 100: a mask is 0 outside and 255 inside"),
    ):
        with pytest.raises(InputError, match=f"'lungs' of radiograph 'a' {match}"):
            masks_of(radiograph(masks={"lungs": mask}), ("lungs",), SIZE)


def test_an_empty_mask_is_refused_where_the_structure_must_be() -> None:
    present, absent = (Finding(name="Pneumothorax", state=s) for s in ("present", "absent"))
    empty = encode_png(np.zeros((SIZE, SIZE), np.uint8))
    with pytest.raises(InputError, match="mask of 'lungs' of radiograph 'a' is empty, but every"):
        masks_of(radiograph(masks={"lungs": empty}), ("lungs",), SIZE)
    sick = radiograph(masks={"pneumothorax": empty}, findings=(present,))
    with pytest.raises(InputError, match="is empty, but Pneumothorax is present"):
        masks_of(sick, ("pneumothorax",), SIZE)
    masks = masks_of(replace(sick, findings=(absent,)), ("pneumothorax",), SIZE)
    assert masks["pneumothorax"] is not None
    assert not masks["pneumothorax"].any()


def test_a_structure_must_be_in_the_dataset() -> None:
    counts = {"masks": {"lungs": 3}, "boxes": {"nodule": 1, "heart": 0}}
    check_structures(counts, ("lungs", "nodule"), "runs/x", "train")
    with pytest.raises(
        InputError, match="split 'train' of runs/x has no mask of 'heart'; it has masks of: lungs,"
    ):
        check_structures(counts, ("lungs", "heart"), "runs/x", "train")
