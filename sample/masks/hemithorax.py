"""The two halves of the chest on a film, and which of them a finding is in."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label
from scipy.stats import theilslopes

from roentgen.record.structures import Masks
from roentgen.record.views import View

Mask = NDArray[np.bool_]

_FULL_WIDTH = 0.7  # of the chest's: rows that are narrower may show one lung alone
_TWO_LUNGS = 0.7  # wide as high at least: what is narrower is one lung
_ON_BOTH = 0.1  # of a piece: with so much on either side it is cut at the midline
_TOUCHING = np.ones((3, 3), dtype=np.bool_)  # pixels touch at corners, too


def right_half(masks: Masks, view: View | None) -> Mask | None:
    """Bool [H, W], True on the image's right, which is the patient's left on frontal films.

    The midline runs between the outer edges of the chest, so that neither the heart nor a fallen
    lung moves it. None where there are no halves: on lateral films, on which both lie on each
    other; without lungs; and where one lung is all that is known. A film of unknown view is taken
    for a frontal one, for a midline only restrains.
    """
    lungs = masks.get("lungs")
    if view == "LATERAL" or lungs is None or not lungs.any():
        return None
    # Devices may begin anywhere.
    known = [mask for name, mask in masks.items() if mask is not None and name != "support devices"]
    chest = np.logical_or.reduce(known)
    rows = np.flatnonzero(chest.any(axis=1))
    left = chest.argmax(axis=1)[rows]
    right = chest.shape[1] - 1 - chest[:, ::-1].argmax(axis=1)[rows]
    width = right - left + 1
    if width.max() < _TWO_LUNGS * len(rows):
        return None
    full = width >= _FULL_WIDTH * width.max()
    middle, rows = ((left + right) / 2)[full], rows[full]
    slope, start, *_ = theilslopes(middle, rows) if len(rows) > 1 else (0.0, middle[0])
    down, across = np.indices(lungs.shape)
    return np.asarray(across > start + slope * down)


def parts_by_half(mask: Mask, is_right: Mask | None) -> tuple[Mask, ...]:
    """A mask's parts in the halves of the chest, the image's left first; one part without halves.

    A connected piece lies in one half as a whole, unless a tenth of it or more is in the other.
    """
    if is_right is None:
        return (mask,)
    pieces, count = label(mask, _TOUCHING)
    share = np.bincount(pieces[is_right], minlength=count + 1) / np.bincount(pieces.ravel())
    on_right = np.where(is_right, share[pieces] >= _ON_BOTH, share[pieces] > 1 - _ON_BOTH)
    return mask & ~on_right, mask & on_right
