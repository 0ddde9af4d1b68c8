"""Run-length masks, as in SIIM-ACR and CANDID-PTX."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from roentgen.errors import InputError
from roentgen.imaging.images import Fit, encode_png
from roentgen.imaging.masks import prepare_mask

NO_MASK = "-1"


def decode_run_length(text: str, height: int, width: int, *, relative: bool) -> np.ndarray:
    """Pairs of start and length as bool [height, width]; pixels are counted down the columns.

    A relative start is the number of pixels since the end of the run before (SIIM-ACR,
    CANDID-PTX); an absolute one counts from 1 at the top left (Kaggle's usual form). "-1" is an
    empty mask. Raises InputError for a text that is no run-length or leaves the image.
    """
    mask = np.zeros(height * width, bool)
    if text.strip() != NO_MASK:
        starts, ends = _runs(text, relative=relative)
        if ends[-1] > mask.size:
            raise InputError(
                f"run-length reaches pixel {ends[-1]} of an image of {width}x{height}: "
                "was it drawn on another size?"
            )
        # +1 where a run begins, -1 behind its end: the running sum is 1 inside.
        steps = np.zeros(mask.size + 1, np.int32)
        np.add.at(steps, starts, 1)
        np.add.at(steps, ends, -1)
        mask = steps[:-1].cumsum() > 0
    return mask.reshape(width, height).T


def _runs(text: str, *, relative: bool) -> tuple[list[int], list[int]]:
    """First pixels and ends (exclusive) of the runs, in order."""
    words = text.split()
    if not words:
        raise InputError("run-length is blank: expected pairs of numbers, or -1 for no mask")
    wrong = next((w for w in words if not (w.isascii() and w.isdigit() and len(w) < 19)), None)
    if wrong is not None:
        raise InputError(f"run-length has {wrong[:20]!r}: expected whole numbers that count pixels")
    if len(words) % 2:
        raise InputError(f"run-length has {len(words)} numbers: expected pairs, start and length")
    numbers = list(map(int, words))
    starts, lengths = numbers[0::2], numbers[1::2]
    if relative:
        ends = [0]
        for start, length in zip(starts, lengths, strict=True):
            ends.append(ends[-1] + start + length)
        del ends[0]
        return [end - length for end, length in zip(ends, lengths, strict=True)], ends
    if min(starts) < 1:
        raise InputError("run-length has a start of 0: absolute starts count from 1")
    starts = [start - 1 for start in starts]
    ends = [start + length for start, length in zip(starts, lengths, strict=True)]
    if any(after < end for end, after in pairwise([0, *_woven(starts, ends)])):
        raise InputError("run-length has runs that overlap or go back: are its starts relative?")
    return starts, ends


def _woven(starts: Sequence[int], ends: Sequence[int]) -> list[int]:
    return [pixel for run in zip(starts, ends, strict=True) for pixel in run]


def place_runs(
    texts: Sequence[str],
    annotated_size: tuple[int, int],
    image_size: tuple[int, int],
    size: int,
    fit: Fit,
) -> bytes | None:
    """Relative run-lengths as one PNG in the geometry of the prepared image; None if empty.

    `annotated_size` and `image_size` are the (width, height) of the image that the runs count on,
    and of the image given (a copy of the same shape). Raises InputError for a wrong run-length.
    """
    width, height = annotated_size
    mask = np.zeros((height, width), bool)
    for text in texts:
        mask |= decode_run_length(text, height, width, relative=True)
    if not mask.any():
        return None
    return prepare_mask(encode_png(255 * mask.astype(np.uint8)), image_size, size, fit)
