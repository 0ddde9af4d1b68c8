"""Grayscale of a DICOM image: one table from the stored word to 8-bit gray.

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

    Without VOI LUT and window, gray runs from the smallest value in the image to the largest.
    Raises InputError where the header contradicts itself.
    """
    stored = stored_values(dataset)
    padding = _padding(stored, dataset)
    values = _modality(stored, dataset)
    shares = _voi(values, dataset)
    if shares is None:
        low, high = _extremes(words, values, padding)
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


def needs_all_pixels(dataset: "Dataset") -> bool:
    """Whether averaging the image beforehand would change its grayscale.

    Padding would blend with tissue, and without VOI LUT and window the extremes would be others.
    """
    if dataset.get("PixelPaddingValue") is not None:
        return True
    return not dataset.get("VOILUTSequence") and _window(dataset) is None


def stored_values(dataset: "Dataset") -> np.ndarray:
    """The value, int64, of each word of the allocated size.

    Bits outside the stored ones are dropped: older machines stored overlays there.
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
    """Whether each word is Pixel Padding Value, or between it and Pixel Padding Range Limit."""
    value = _first(dataset.get("PixelPaddingValue"))
    if value is None:
        return np.zeros(stored.shape, bool)
    limit = _first(dataset.get("PixelPaddingRangeLimit"))
    ends = sorted(_signed(int(end), dataset) for end in (value, value if limit is None else limit))
    return (stored >= ends[0]) & (stored <= ends[1])


def _signed(value: int, dataset: "Dataset") -> int:
    """The value with the pixels' own sign: -2000 is often written as 63536."""
    span = 1 << int(dataset.BitsAllocated)
    value %= span
    return value - span if dataset.get("PixelRepresentation") == 1 and 2 * value >= span else value


def _modality(stored: np.ndarray, dataset: "Dataset") -> np.ndarray:
    """The stored values through the Modality LUT, or else rescaled."""
    if dataset.get("ModalityLUTSequence"):
        return _looked_up(stored, dataset.ModalityLUTSequence[0], dataset)
    slope, intercept = (_first(dataset.get(key)) for key in ("RescaleSlope", "RescaleIntercept"))
    if slope is None or intercept is None:
        return stored.astype(np.float64)
    return stored * float(slope) + float(intercept)


def _voi(values: np.ndarray, dataset: "Dataset") -> np.ndarray | None:
    """The values through the first VOI LUT or else the first window; None without either."""
    if dataset.get("VOILUTSequence"):
        table = dataset.VOILUTSequence[0]
        output = _looked_up(values, table, dataset)
        depth, needed = int(table.LUTDescriptor[2]), int(output.max()).bit_length()
        # Tables of 10 or 12 bits are often declared as 16.
        depth = max(8, needed) if depth == 16 else max(depth, needed)
        return output / ((1 << depth) - 1)
    center_and_width = _window(dataset)
    if center_and_width is None:
        return None
    function = str(dataset.get("VOILUTFunction") or "LINEAR").upper()
    return window(values, *center_and_width, function)


def _window(dataset: "Dataset") -> tuple[float, float] | None:
    """Center and width. A width of 0 is no window: some machines fill both fields with it."""
    center, width = (_first(dataset.get(key)) for key in ("WindowCenter", "WindowWidth"))
    if center is None or width is None or float(width) <= 0:
        return None
    return float(center), float(width)


def _looked_up(values: np.ndarray, table: "Dataset", dataset: "Dataset") -> np.ndarray:
    """Values through the table of a Modality or VOI LUT Sequence; beyond its ends, the ends.

    PS3.3 C.11.1.1.1. Not pydicom's apply_voi: of tables of 8 bits it takes places modulo 256.
    """
    count, first = int(table.LUTDescriptor[0]) or 1 << 16, int(table.LUTDescriptor[1])
    if first > values.max():
        first -= 1 << 16  # below zero, but written as unsigned
    if isinstance(table.LUTData, bytes):
        order = "<" if dataset.file_meta.TransferSyntaxUID.is_little_endian else ">"
        packed = len(table.LUTData) < 2 * count
        entries = np.frombuffer(table.LUTData, "u1" if packed else f"{order}u2")
    else:
        entries = np.atleast_1d(np.asarray(table.LUTData))
    if len(entries) < count:
        raise InputError(f"a lookup table has {len(entries)} of its {count} entries")
    places = np.rint(values).astype(np.int64) - first
    looked_up: np.ndarray = entries[places.clip(0, count - 1)].astype(np.float64)
    return looked_up


def _extremes(words: np.ndarray, values: np.ndarray, padding: np.ndarray) -> tuple[float, float]:
    """The smallest and largest value in the image, padding aside."""
    spanned = slice(int(words.min()), int(words.max()) + 1)
    steps = np.diff(values[spanned])
    if not padding[spanned].any() and ((steps >= 0).all() or (steps <= 0).all()):
        used = values[spanned][[0, -1]]  # counting each word takes as long as all the rest
    else:
        used = values[_present(words, values.size) & ~padding]
    if not used.size:
        raise InputError("all of its pixels are padding")
    return used.min(), used.max()


def _present(words: np.ndarray, count: int) -> np.ndarray:
    """Which of `count` words occur."""
    times = np.zeros(count, np.int64)
    for top in range(0, len(words), _ROWS):
        times += np.bincount(words[top : top + _ROWS].ravel(), minlength=count)
    return times > 0


def _first(value: Any) -> Any:
    """The first of several values, which are alternatives; None for an empty element."""
    if value is None or isinstance(value, int | float | str):
        return None if value == "" else value
    return value[0] if len(value) else None
