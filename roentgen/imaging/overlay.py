"""Color overlays of masks: as outlines on their image, and filled."""

from collections.abc import Iterable, Mapping
from itertools import cycle

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion

from roentgen.record.radiograph import Masks

# Of Okabe and Ito's palette, which the color-blind can distinguish, those bright on black.
_PALETTE = {
    "sky blue": (86, 180, 233),
    "orange": (230, 159, 0),
    "green": (0, 158, 115),
    "yellow": (240, 228, 66),
    "vermillion": (213, 94, 0),
    "purple": (204, 121, 167),
    "blue": (0, 114, 178),
}
_COMMON = ("lungs", "heart", "pleural effusion", "pneumothorax", "consolidation", "support devices")

Color = tuple[int, int, int]


def structure_colors(structures: Iterable[str]) -> dict[str, Color]:
    """A color for each structure; common structures have the same everywhere."""
    return {name: _PALETTE[color] for name, color in color_names(structures).items()}


def color_names(structures: Iterable[str]) -> dict[str, str]:
    """Names of the colors of structures; from the eighth on they repeat."""
    names = list(structures)
    others = sorted(set(names) - set(_COMMON))
    colors = dict(zip((*_COMMON, *others), cycle(_PALETTE), strict=False))
    return {name: colors[name] for name in names}


def outlined(image: NDArray[np.uint8], masks: Masks) -> NDArray[np.uint8]:
    """An image uint8 [H, W] or [H, W, 3] in color with the masks' inner outlines, 1 pixel wide."""
    edges = {
        name: mask & ~binary_erosion(mask, border_value=0)
        for name, mask in masks.items()
        if mask is not None
    }
    rgb = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
    return painted(rgb, edges)


def painted(
    picture: NDArray[np.uint8], masks: Mapping[str, NDArray[np.bool_] | None], share: float = 1.0
) -> NDArray[np.uint8]:
    """An RGB image [H, W, 3] with the masks filled, `share` of them their color."""
    result = picture.astype(np.float32)
    colors = structure_colors(masks)
    for name, mask in masks.items():
        if mask is not None:
            result[mask] += share * (np.array(colors[name], dtype=np.float32) - result[mask])
    return result.round().astype(np.uint8)
