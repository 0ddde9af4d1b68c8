"""Masks in colour: as outlines on their film, and filled."""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion

from roentgen.data.structures import Masks

# Of Okabe and Ito's palette, which the colour-blind can tell apart, those bright on black.
_PALETTE = (
    (86, 180, 233),
    (230, 159, 0),
    (0, 158, 115),
    (240, 228, 66),
    (213, 94, 0),
    (204, 121, 167),
    (0, 114, 178),
)
_USUAL = ("lungs", "heart", "pleural effusion", "pneumothorax", "consolidation", "support devices")

Colour = tuple[int, int, int]


def colours(structures: Iterable[str]) -> dict[str, Colour]:
    """A colour for each structure; the usual ones have the same everywhere."""
    others = sorted(set(structures) - set(_USUAL))
    return {name: _PALETTE[i % len(_PALETTE)] for i, name in enumerate((*_USUAL, *others))}


def outlined(image: NDArray[np.uint8], masks: Masks) -> NDArray[np.uint8]:
    """A film uint8 [H, W] in colour, [H, W, 3], with the masks' outlines, a pixel wide, inside."""
    edges = {
        name: mask & ~binary_erosion(mask, border_value=0)
        for name, mask in masks.items()
        if mask is not None
    }
    return painted(np.repeat(image[..., None], 3, axis=2), edges)


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
