"""Light of a prepared image: notes on one that may be shown wrongly."""

from enum import StrEnum

import numpy as np

_SIDE = 128  # pixels that are counted across, at least
_WHITE = 0.25  # of the pixels
_BLACK, _DARK = 0.99, 32  # of the pixels; gray level
_BEYOND = 0.9  # of the pixels
_GAP, _FEW = 64, 0.005  # levels; of the pixels


class LightNote(StrEnum):
    """What is noted of an image; the value is its line in summaries."""

    SATURATED = "saturated: a quarter of the pixels or more is white"
    BLACK = "nearly black: 99 % of the pixels are darker than level 32 of 255"
    INVERTED = "look inverted: white corners above, and a mediastinum darker than the lungs"
    WINDOW = "window far from the values: 90 % of the pixels or more lie beyond its ends"
    MEASURED = "gray range measured: neither the header nor the corpus states it"
    GAP = "gray range uncertain: fewer than 0.5 % of the pixels are in a quarter of the levels"


def light_notes(gray: np.ndarray, *, windowed: bool, measured: bool) -> tuple[LightNote, ...]:
    """Notes on an image, uint8 [H, W], without borders; how its gray levels came about is given.

    Each n-th row and column of a large one are counted.
    """
    step = max(1, min(gray.shape) // _SIDE)
    some = gray[::step, ::step]
    counts = np.bincount(some.ravel(), minlength=256)
    notes = {
        LightNote.SATURATED: counts[255] >= _WHITE * some.size,
        LightNote.BLACK: counts[:_DARK].sum() >= _BLACK * some.size,
        LightNote.INVERTED: looks_inverted(some),
        LightNote.WINDOW: windowed and counts[0] + counts[255] >= _BEYOND * some.size,
        LightNote.MEASURED: measured,
        LightNote.GAP: measured and has_gap(counts),
    }
    return tuple(note for note, holds in notes.items() if holds)


def has_gap(counts: np.ndarray) -> bool:
    """Whether few of the pixels, counted by gray level, are in 64 levels between others.

    A marker or border that the measured range includes is on one side of it, and the tissue, with
    too little contrast, on the other.
    """
    below = np.cumsum(counts)
    until, after = below[:-_GAP], below[_GAP:]
    gaps = (after - until < _FEW * below[-1]) & (until > 0) & (after < below[-1])
    return bool(gaps.any())


def looks_inverted(gray: np.ndarray) -> bool:
    """Whether an upright chest radiograph, uint8 [H, W], is probably a negative.

    Both upper corners, which are air, are brighter than middle gray, and the mediastinum is darker
    than the lungs. Of 1,269 public radiographs none looks inverted, and of their negatives 85 %.
    """

    def mean(top: float, bottom: float, left: float, right: float) -> float:
        height, width = gray.shape
        rows = slice(int(top * height), int(bottom * height) or 1)
        columns = slice(int(left * width), int(right * width) or 1)
        part = gray[rows, columns]
        return float(part.mean()) if part.size else 0.0

    if min(mean(0, 0.08, 0, 0.08), mean(0, 0.08, 0.92, 1)) <= 128:
        return False
    lungs = (mean(0.25, 0.6, 0.19, 0.34) + mean(0.25, 0.6, 0.66, 0.81)) / 2
    return mean(0.25, 0.75, 0.44, 0.56) < lungs - 10
