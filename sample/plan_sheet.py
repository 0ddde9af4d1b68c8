"""Contact sheet of a plan: the images of evenly spread prompts, with the masks they follow."""

from collections.abc import Callable

import numpy as np

from roentgen.imaging.contact_sheet import contact_sheet, side_by_side
from roentgen.imaging.images import decode, encode_png
from roentgen.imaging.overlay import outlined
from roentgen.prompts.captions import prompt_caption
from roentgen.record.radiograph import Masks, Radiograph
from sample.plan import PlanFile

_IMAGES = 4  # of a prompt, side by side


def plan_sheet(plan: PlanFile, read: Callable[[int], Radiograph], prompts: int) -> bytes:
    """A PNG of the images of so many prompts; `read` gives the radiograph of a row of the plan."""
    groups = sheet_rows(plan.starts(), len(plan), prompts)
    tiles = [side_by_side([_tile(read(row)) for row in rows]) for rows in groups]
    captions = [prompt_caption(plan.read(rows[:1])[0].prompt) for rows in groups]
    return encode_png(contact_sheet(tiles, captions))


def sheet_rows(starts: np.ndarray, images: int, prompts: int) -> list[range]:
    """The rows of the plan that are on a sheet: the first images of evenly spread prompts.

    `starts` are the rows at which prompts begin.
    """
    ends = np.append(starts[1:], images).tolist()
    count = min(prompts, len(starts))
    chosen = [i * len(starts) // count for i in range(count)]
    return [range(int(starts[i]), min(ends[i], int(starts[i]) + _IMAGES)) for i in chosen]


def _tile(radiograph: Radiograph) -> np.ndarray:
    """An image; one with masks above its copy with their outlines."""
    image = decode(radiograph.image)
    if not radiograph.masks:
        return image
    masks: Masks = {name: decode(mask) > 127 for name, mask in radiograph.masks.items()}
    return np.concatenate([outlined(image, {}), outlined(image, masks)], axis=0)
