"""Contact sheet of a plan: the images of evenly spread prompts, with the masks they follow."""

from collections.abc import Callable

import numpy as np

from roentgen.imaging.contact_sheet import contact_sheet
from roentgen.imaging.images import decode, encode_png
from roentgen.imaging.overlay import outlined
from roentgen.record.radiograph import Masks, Radiograph
from sample.plan import PlanFile

_COLUMNS = 8


def plan_sheet(plan: PlanFile, read: Callable[[int], Radiograph], prompts: int) -> bytes:
    """A PNG of the images of so many prompts; `read` gives the radiograph of a row of the plan."""
    columns, rows = sheet_rows(plan.starts(), len(plan), prompts)
    captions = [plan.read(range(row, row + 1))[0].prompt for row in rows]
    return encode_png(contact_sheet([_tile(read(row)) for row in rows], captions, columns))


def sheet_rows(starts: np.ndarray, images: int, prompts: int) -> tuple[int, list[int]]:
    """The number of columns of a sheet, and the rows of the plan that are on it.

    `starts` are the rows at which prompts begin, of which some are chosen, evenly spread. Each
    prompt has a row of the sheet if all have the same number of images, more than one; otherwise
    the images are consecutive.
    """
    ends = np.append(starts[1:], images)
    count = min(prompts, len(starts))
    chosen = [i * len(starts) // count for i in range(count)]
    groups = [range(starts[i], ends[i]) for i in chosen]
    most = max(map(len, groups))
    even = most > 1 and all(len(group) == most for group in groups)
    columns = min(_COLUMNS, most) if even else _COLUMNS
    return columns, [int(row) for group in groups for row in group[:columns]]


def _tile(radiograph: Radiograph) -> np.ndarray:
    """An image; one with masks above its copy with their outlines."""
    image = decode(radiograph.image)
    if not radiograph.masks:
        return image
    masks: Masks = {name: decode(mask) > 127 for name, mask in radiograph.masks.items()}
    return np.concatenate([outlined(image, {}), outlined(image, masks)], axis=0)
