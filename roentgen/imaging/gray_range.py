"""Gray range: the values of an image that become black and white where none are stated.

They are the 0.1th and the 99.9th percentile once burned-in markers are disregarded, so neither a
hot pixel nor a marker at the top of the file's depth darkens the image. A marker is a plateau at
one end: at most 3 % of the pixels, within 1/64 of the range, of which half as many pixels, its soft
edge, lead further than a quarter of the range. (Of 1,269 public radiographs none has one by this.)
"""

import numpy as np

_SAMPLES = 1 << 16  # pixels that are measured at least, where the image has them
_TAIL = 1000  # of so many pixels the darkest and the brightest one are disregarded
_MARKER = 0.03  # of the pixels
_PLATEAU, _GAP = 1 / 64, 1 / 4  # of the range


def sampled(pixels: np.ndarray) -> np.ndarray:
    """Each n-th row and column of [H, W], so that a large image is measured fast."""
    step = max(1, int((pixels.size / _SAMPLES) ** 0.5))
    return pixels[::step, ::step]


def robust_range(values: np.ndarray) -> tuple[float, float]:
    """The values that become black and white, of values of any shape; there must be one."""
    ordered = np.sort(values, axis=None, kind="stable")  # by radix, or in one pass if in order
    tail = len(ordered) // _TAIL
    ordered = ordered[tail : len(ordered) - tail].astype(np.float64)
    low, high = _without_marker(ordered), -_without_marker(-ordered[::-1])
    return (low, high) if low < high else (float(ordered[0]), float(ordered[-1]))


def _without_marker(ordered: np.ndarray) -> float:
    """The lowest of ascending values, or the lowest one beyond a marker."""
    lowest, span = ordered[0], ordered[-1] - ordered[0]
    plateau = int(np.searchsorted(ordered, lowest + _PLATEAU * span, side="right"))
    if plateau <= _MARKER * len(ordered):
        beyond = ordered[plateau + plateau // 2]
        if beyond - lowest > _GAP * span:
            return float(beyond)
    return float(lowest)


def to_levels(pixels: np.ndarray, low: float, high: float) -> np.ndarray:
    """Values [H, W] as uint8: `low` and less is 0, `high` and more 255."""
    levels = np.empty(pixels.shape, np.uint8)
    scale = np.float32(255 / max(high - low, 1e-9))
    for top in range(0, len(pixels), 64):  # they stay in the processor's cache
        rows = slice(top, top + 64)
        shifted = pixels[rows] - np.float32(low)
        levels[rows] = np.rint((shifted * scale).clip(0, 255))
    return levels
