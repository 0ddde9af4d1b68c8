"""Gray range: the values of an image that become black and white where none are stated.

They are the 0.1th and the 99.9th percentile once burned-in markers and borders are disregarded, so
neither a hot pixel nor a marker at the top of the file's depth darkens the image. Tissue is dense:
where a thousandth of the pixels extends over 0.4 of the width of the middle 80 %, there is a marker
or border, of any number of gray levels and however soft its edges. It lies beyond the innermost
thousandth that extends over 0.1 of that width, has at most 10 % of the pixels, and if more than
2 %, a quarter of them are nearly equal: a small patient on a large detector is no marker. (Of 1,269
public radiographs one has a black border by this.)
"""

import numpy as np

_SAMPLES = 1 << 16  # pixels that are measured at least, where the image has them
_TAIL = 1000  # of so many pixels the darkest and the brightest one are disregarded
_MARKER, _UNEVEN = 0.1, 0.02  # of the pixels, at one end
_GAP, _SPARSE = 0.4, 0.1  # of the width of the middle of all pixels
_EQUAL = 1 / 16  # of a marker's range


def sampled(pixels: np.ndarray) -> np.ndarray:
    """Each n-th row and column of [H, W], so that a large image is measured fast."""
    step = max(1, int((pixels.size / _SAMPLES) ** 0.5))
    return pixels[::step, ::step]


def robust_range(values: np.ndarray) -> tuple[float, float]:
    """The values that become black and white, of values of any shape; there must be one."""
    ordered = np.sort(values, axis=None, kind="stable")  # by radix, or in one pass if in order
    ends = 1 + int(_MARKER * len(ordered))
    darkest = ordered[:ends].astype(np.float64)
    brightest = -ordered[: -1 - ends : -1].astype(np.float64)
    width = -brightest[-1] - darkest[-1]
    low, high = (_without_marker(end, width, len(ordered)) for end in (darkest, brightest))
    return low, -high


def _without_marker(end: np.ndarray, width: float, pixels: int) -> float:
    """The lowest of ascending values, or the lowest one beyond a marker.

    They are an end of those of all pixels, whose middle has this width.
    """
    end, step = end[pixels // _TAIL :], max(1, pixels // _TAIL)
    spans = end[step:] - end[:-step]
    if width and (spans > _GAP * width).any():
        sparse = int(np.flatnonzero(spans > _SPARSE * width)[-1])
        marker = end[: sparse + 1]
        if len(marker) <= _UNEVEN * pixels or _is_even(marker):
            return float(end[sparse + step])
    return float(end[0])


def _is_even(marker: np.ndarray) -> bool:
    """Whether a quarter of ascending values are nearly equal."""
    quarter = len(marker) // 4
    least = (marker[quarter:] - marker[: len(marker) - quarter]).min()
    return bool(least <= _EQUAL * (marker[-1] - marker[0]))


def to_levels(pixels: np.ndarray, low: float, high: float) -> np.ndarray:
    """Values [H, W] as uint8: `low` and less is 0, `high` and more 255."""
    levels = np.empty(pixels.shape, np.uint8)
    scale = np.float32(255 / max(high - low, 1e-9))
    for top in range(0, len(pixels), 64):  # they stay in the processor's cache
        rows = slice(top, top + 64)
        shifted = pixels[rows] - np.float32(low)
        levels[rows] = np.rint((shifted * scale).clip(0, 255))
    return levels
