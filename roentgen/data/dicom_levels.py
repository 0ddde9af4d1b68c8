"""What a stored DICOM pixel looks like: one table from the stored word to 8-bit gray.

Modality LUT or rescale, then VOI LUT or window, inversion and padding are all functions of one
pixel. Evaluated once for each possible word and looked up, they cost little and are exact.
PS3.3 C.7.6.3 (image pixel), C.11.1 (modality LUT), C.11.2 (VOI LUT), C.7.5.1.1.2 (padding).
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from roentgen.errors import InputError

if TYPE_CHECKING:
    from pydicom import Dataset

_ROWS = 64  # looked up at a time: they stay in the processor's cache


def to_gray(words: np.ndarray, dataset: "Dataset") -> np.ndarray:
    """Stored words, uint8 or uint16 [H, W], as uint8 [H, W]: white is dense, padding black.

    Raises InputError where the header contradicts itself.
    """
    stored = stored_values(dataset)
    padding = _padding(stored, dataset)
    values = _modality(stored, dataset)
    shares = _voi(values, dataset)
    if shares is None:
        used = _present(words, stored.size) & ~padding
        if not used.any():
            raise InputError("all of its pixels are padding")
        low, high = values[used].min(), values[used].max()
        shares = ((values - low) / max(high - low, 1e-9)).clip(0, 1)
    if not np.isfinite(shares).all():
        raise InputError("its rescale or window is not a number")
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        shares = 1 - shares
    table = np.rint(shares * 255).astype(np.uint8)
    table[padding] = 0
    gray = np.empty(words.shape, np.uint8)
    for top in range(0, len(words), _ROWS):
        rows = slice(top, top + _ROWS)
        np.take(table, words[rows], out=gray[rows], mode="clip")
    return gray


def stored_values(dataset: "Dataset") -> np.ndarray:
    """The value, int64, that each word of the allocated size stands for.

    Bits outside the stored ones are dropped: older machines kept overlays there.
    """
    stored = int(dataset.BitsStored)
    high = int(dataset.get("HighBit") or stored - 1)
    words = np.arange(1 << int(dataset.BitsAllocated), dtype=np.int64)
    values = (words >> max(high + 1 - stored, 0)) & ((1 << stored) - 1)
    if dataset.get("PixelRepresentation") == 1:
        values = np.where(values >> (stored - 1), values - (1 << stored), values)
    return values


def window(values: np.ndarray, center: float, width: float, function: str) -> np.ndarray:
    """Values through a window to [0, 1], PS3.3 C.11.2.1.2 and C.11.2.1.3."""
    match function:
        case "LINEAR":
            if width <= 1:
                return np.where(values <= center - 0.5, 0.0, 1.0)
            shares = (values - (center - 0.5)) / (width - 1) + 0.5
        case "LINEAR_EXACT":
            shares = (values - center) / width + 0.5
        case "SIGMOID":
            shares = 1 / (1 + np.exp((-4 * (values - center) / width).clip(-700, 700)))
        case _:
            raise InputError(
                f"VOI LUT function {function!r} is unknown: LINEAR, LINEAR_EXACT or SIGMOID"
            )
    return shares.clip(0, 1)


def _padding(stored: np.ndarray, dataset: "Dataset") -> np.ndarray:
    """Which words are Pixel Padding Value, or lie between it and Pixel Padding Range Limit."""
    value = _first(dataset.get("PixelPaddingValue"))
    if value is None:
        return np.zeros(stored.shape, bool)
    limit = _first(dataset.get("PixelPaddingRangeLimit"))
    ends = sorted((int(value), int(value if limit is None else limit)))
    return (stored >= ends[0]) & (stored <= ends[1])


def _modality(stored: np.ndarray, dataset: "Dataset") -> np.ndarray:
    from pydicom.pixels.processing import apply_modality_lut

    return np.asarray(apply_modality_lut(stored, dataset), np.float64)


def _voi(values: np.ndarray, dataset: "Dataset") -> np.ndarray | None:
    """The values through the first VOI LUT or else the first window; None without either.

    A window without width is none: some machines fill both fields with 0.
    """
    from pydicom.pixels.processing import apply_voi

    if dataset.get("VOILUTSequence"):
        shown = np.asarray(apply_voi(np.rint(values).astype(np.int64), dataset), np.float64)
        # Tables of 10 or 12 bits are often declared as 16.
        depth = max(8, int(shown.max()).bit_length())
        return shown / ((1 << depth) - 1)
    center, width = (_first(dataset.get(key)) for key in ("WindowCenter", "WindowWidth"))
    if center is None or width is None or float(width) <= 0:
        return None
    function = str(dataset.get("VOILUTFunction") or "LINEAR").upper()
    return window(values, float(center), float(width), function)


def _present(words: np.ndarray, count: int) -> np.ndarray:
    """Which of `count` words occur."""
    present = np.zeros(count, bool)
    for top in range(0, len(words), _ROWS):
        present[words[top : top + _ROWS]] = True
    return present


def _first(value: Any) -> Any:
    """The first of several values, which are alternatives; None for an empty element."""
    if value is None or isinstance(value, int | float | str):
        return None if value == "" else value
    return value[0] if len(value) else None
