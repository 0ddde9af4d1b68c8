"""Masks in colour: as outlines on their film, and filled."""

from collections.abc import Iterable, Mapping
from itertools import cycle

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion

from roentgen.record.structures import Masks

# Of Okabe and Ito's palette, which the colour-blind can tell apart, those bright on black.
_PALETTE = {
    "sky blue": (86, 180, 233),
    "orange": (230, 159, 0),
    "green": (0, 158, 115),
    "yellow": (240, 228, 66),
    "vermillion": (213, 94, 0),
    "purple": (204, 121, 167),
    "blue": (0, 114, 178),
}
_USUAL = ("lungs", "heart", "pleural effusion", "pneumothorax", "consolidation", "support devices")

Colour = tuple[int, int, int]


def colours(structures: Iterable[str]) -> dict[str, Colour]:
    """A colour for each structure; the usual ones have the same everywhere."""
    return {name: _PALETTE[colour] for name, colour in colour_names(structures).items()}


def colour_names(structures: Iterable[str]) -> dict[str, str]:
    """What the structures' colours are called; from the eighth on they come again."""
    asked = list(structures)
    others = sorted(set(asked) - set(_USUAL))
    names = dict(zip((*_USUAL, *others), cycle(_PALETTE), strict=False))
    return {structure: names[structure] for structure in asked}


def outlined(image: NDArray[np.uint8], masks: Masks) -> NDArray[np.uint8]:
    """A film uint8 [H, W] or [H, W, 3] in colour with the masks' outlines, a pixel wide, inside."""
    edges = {
        name: mask & ~binary_erosion(mask, border_value=0)
        for name, mask in masks.items()
        if mask is not None
    }
    colour = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
    return painted(colour, edges)


def painted(
    picture: NDArray[np.uint8], masks: Mapping[str, NDArray[np.bool_] | None], share: float = 1.0
) -> NDArray[np.uint8]:
    """A colour picture [H, W, 3] with the masks filled in, `share` of them their colour."""
    result = picture.astype(np.float32)
    of = colours(masks)
    for name, mask in masks.items():
        if mask is not None:
            result[mask] += share * (np.array(of[name], dtype=np.float32) - result[mask])
    return result.round().astype(np.uint8)
