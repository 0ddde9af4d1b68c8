"""Structure masks of the radiographs of a dataset: which are known, and their pixels."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from roentgen.dataset.dataset import RadiographSplit
from roentgen.errors import InputError
from roentgen.imaging.images import decode
from roentgen.record.finding import FINDING_OF, states
from roentgen.record.radiograph import Box, Masks, Radiograph, check_not_empty

UNKNOWN = 255  # a mask's pixel of which it is not known whether it is inside


def masks_of(radiograph: Radiograph, structures: Sequence[str], size: int) -> Masks:
    """Each structure's mask, of `size` pixels a side.

    A structure without a mask has its filled boxes. Without either it is unknown; but the structure
    of a finding that the radiograph does not have is empty. Raises InputError, naming
    the radiograph, for a mask of another size, with other values than 0 and 255, or without a pixel
    where the structure must be.
    """
    found = states(radiograph.findings)
    present = {name for name, state in found.items() if state != "absent"}
    masks: Masks = {}
    for structure in structures:
        boxes = [box for box in radiograph.boxes if box.structure == structure]
        if structure in radiograph.masks:
            where = f"mask of {structure!r} of radiograph {radiograph.id!r}"
            masks[structure] = mask = read_mask(radiograph.masks[structure], size, where)
            check_not_empty(mask, structure, found, where)
        elif boxes:
            masks[structure] = filled(boxes, size)
        elif structure in FINDING_OF and FINDING_OF[structure] not in present:
            masks[structure] = np.zeros((size, size), dtype=np.bool_)
        else:
            masks[structure] = None
    return masks


def read_mask(encoded: bytes, size: int, where: str) -> NDArray[np.bool_]:
    """A mask file as bool [size, size]; `where` names it in errors.

    Raises InputError for another size, and for values between 0 and 255.
    """
    pixels = decode(encoded)
    if pixels.shape != (size, size):
        height, width = pixels.shape
        raise InputError(
            f"{where} is {width}x{height}, images are {size}x{size}: prepare masks with their "
            "images, so that both have the same geometry"
        )
    between = pixels[(pixels != 0) & (pixels != 255)]
    if len(between):
        raise InputError(
            f"{where} has the value {between[0]}: a mask is 0 outside and 255 inside, resized by "
            "the nearest neighbor"
        )
    return np.asarray(pixels == 255)


def filled(boxes: Sequence[Box], size: int) -> NDArray[np.bool_]:
    """Boxes as one mask [size, size]: pixels whose center is in one."""
    mask = np.zeros((size, size), dtype=np.bool_)
    for box in boxes:
        left, top, right, bottom = (
            max(0, round(edge)) for edge in (box.left, box.top, box.right, box.bottom)
        )
        mask[top:bottom, left:right] = True
    return mask


def annotated_structures(split: RadiographSplit) -> Callable[[int], set[str]]:
    """A function of the row: the structures with masks or boxes; no image is read."""
    columns = [
        pa.chunked_array(
            [
                pa.ListArray.from_arrays(c.offsets, c.values.field("structure"))
                for c in column.chunks
            ],
            pa.list_(pa.string()),
        )
        for column in (split.column("masks"), split.column("boxes"))
    ]
    return lambda row: {name for column in columns for name in column[row].as_py()}


def is_any_known(radiograph: Radiograph, annotated: set[str], structures: Sequence[str]) -> bool:
    """Whether it has a mask or box of a structure, or has none of the findings they all are of.

    `annotated` are its own, by `annotated_structures`.
    """
    found = states(radiograph.findings)
    absent = [n in FINDING_OF and found.get(FINDING_OF[n]) == "absent" for n in structures]
    return not annotated.isdisjoint(structures) or all(absent)


def check_structures(
    counts: Mapping[str, Any], structures: Sequence[str], dataset: str, split: str
) -> None:
    """Raise InputError unless a split has masks or boxes of each structure.

    `counts` are those of the split in the dataset's manifest.
    """
    have = {**counts.get("masks", {}), **counts.get("boxes", {})}
    for structure in structures:
        if not have.get(structure):
            known = ", ".join(sorted(name for name, n in have.items() if n)) or "none"
            raise InputError(
                f"split {split!r} of {dataset} has no mask of {structure!r}; it has masks of: "
                f"{known}"
            )
