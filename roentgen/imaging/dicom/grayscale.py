"""Grayscale of a DICOM image: one table from the stored word to 8-bit gray.

Modality LUT or rescale, then VOI LUT or window, inversion and padding are all functions of one
pixel. Evaluated once for each possible word and looked up, they cost little and are exact.
PS3.3 C.7.6.3 (image pixel), C.11.1 (modality LUT), C.11.2 (VOI LUT), C.7.5.1.1.2 (padding),
C.11.6 (presentation LUT).
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from roentgen.errors import InputError
from roentgen.imaging.gray_range import robust_range, sampled

if TYPE_CHECKING:
    from pydicom import Dataset

_ROWS = 64  # looked up at a time: they stay in the processor's cache


def to_gray(words: np.ndarray, dataset: "Dataset", near: int = 0) -> np.ndarray:
    """Stored words, uint8 or uint16 [H, W], as uint8 [H, W]: white is dense, padding black.

    Without VOI LUT and window, gray runs over the robust range of the image (gray_range.py). A
    decoder changed the words by up to `near`. Raises InputError where the header contradicts
    itself.
    """
    stored = stored_values(dataset, whole=_exceeds_stored_bits(words, dataset))
    padding = _padding(stored, dataset, near)
    values = _modality(stored, dataset)
    shares = _voi(values, dataset)
    if shares is None:
        low, high = robust_range(values[_unpadded(words, padding)])
        shares = ((values - low) / max(high - low, 1e-9)).clip(0, 1)
    if not np.isfinite(shares).all():
        raise InputError("its rescale or window is not a number")
    shares = _presented(shares, dataset)
    table = np.rint(shares * 255).astype(np.uint8)
    table[padding] = 0
    gray = np.empty(words.shape, np.uint8)
    for top in range(0, len(words), _ROWS):
        rows = slice(top, top + _ROWS)
        np.take(table, words[rows], out=gray[rows], mode="clip")
    return gray


def has_window(dataset: "Dataset") -> bool:
    """Whether the header has a VOI LUT or a window."""
    return bool(dataset.get("VOILUTSequence")) or _window(dataset) is not None


def needs_all_pixels(dataset: "Dataset") -> bool:
    """Whether averaging the image beforehand would change its grayscale.

    Padding would blend with tissue, and without VOI LUT and window the range would be another.
    """
    return dataset.get("PixelPaddingValue") is not None or not has_window(dataset)


def stored_values(dataset: "Dataset", *, whole: bool = False) -> np.ndarray:
    """The value, int64, of each word of the allocated size.

    Bits above the stored ones are dropped, or belong to the value of a `whole` word.
    """
    allocated, stored = int(dataset.BitsAllocated), int(dataset.BitsStored)
    shift = max(_high_bit(dataset) + 1 - stored, 0)
    if whole:
        stored = allocated - shift
    values = (np.arange(1 << allocated, dtype=np.int64) >> shift) & ((1 << stored) - 1)
    if dataset.get("PixelRepresentation") == 1:
        values = np.where(values >> (stored - 1), values - (1 << stored), values)
    return values


def _high_bit(dataset: "Dataset") -> int:
    return int(dataset.get("HighBit") or dataset.BitsStored - 1)


def _exceeds_stored_bits(words: np.ndarray, dataset: "Dataset") -> bool:
    """Whether the bits above the stored ones belong to the values, as BitsStored is too small.

    Older machines stored overlays there. Values go on smoothly with these bits and wrap without
    them; an overlay is a jump that disappears without it.
    """
    above, sample = _high_bit(dataset) + 1, words[:: max(1, len(words) // 128)]
    if above == int(dataset.BitsAllocated) or int(sample.max()) < 1 << above:
        return False
    if dataset.get("PixelRepresentation") == 1:
        signed = sample.view(f"i{words.itemsize}")
        if -(1 << (above - 1)) <= int(signed.min()) and int(signed.max()) < 1 << (above - 1):
            return False  # only the sign is repeated there
    if any(
        element.tag.group & 0xFF01 == 0x6000
        and element.tag.element == 0x0102
        and (element.value or 0) >= above
        for element in dataset
    ):
        return False
    variations = []
    for whole in (True, False):
        values = stored_values(dataset, whole=whole).astype(np.int32)[words]
        variations.append(sum(int(abs(np.diff(values, axis=axis)).sum()) for axis in (0, 1)))
    return variations[0] < variations[1]


def _unpadded(words: np.ndarray, padding: np.ndarray) -> np.ndarray:
    """Words of the image without padding, enough to measure it, in ascending order."""
    for some in (sampled(words), words):
        ordered = np.sort(some, axis=None, kind="stable")
        inside = ordered[~padding[ordered]] if padding.any() else ordered
        if inside.size:
            return inside
    raise InputError("all of its pixels are padding")


def _presented(shares: np.ndarray, dataset: "Dataset") -> np.ndarray:
    """Shares from black to white: through the Presentation LUT, or else inverted or not.

    The values of a Presentation LUT are P-values, white at their highest for MONOCHROME1 too
    (PS3.3 C.11.6). Without one the lowest value is white for MONOCHROME1 and for Presentation LUT
    Shape INVERSE, and inverted once with both: C.8.11.3.1.2 demands the one with the other.
    """
    if dataset.get("PresentationLUTSequence"):
        table = dataset.PresentationLUTSequence[0]
        count = int(table.LUTDescriptor[0]) or 1 << 16
        return _table_shares(shares * (count - 1), table, dataset)
    shape = str(dataset.get("PresentationLUTShape") or "").strip().upper()
    inverse = shape == "INVERSE" or dataset.PhotometricInterpretation == "MONOCHROME1"
    return 1 - shares if inverse else shares


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


def _padding(stored: np.ndarray, dataset: "Dataset", near: int) -> np.ndarray:
    """Whether each word is Pixel Padding Value, or between it and Pixel Padding Range Limit.

    `near` more than these, either way.
    """
    value = _first(dataset.get("PixelPaddingValue"))
    if value is None:
        return np.zeros(stored.shape, bool)
    limit = _first(dataset.get("PixelPaddingRangeLimit"))
    ends = sorted(_signed(int(end), dataset) for end in (value, value if limit is None else limit))
    return (stored >= ends[0] - near) & (stored <= ends[1] + near)


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
        return _table_shares(values, dataset.VOILUTSequence[0], dataset)
    center_and_width = _window(dataset)
    if center_and_width is None:
        return None
    function = str(dataset.get("VOILUTFunction") or "LINEAR").upper()
    return window(values, *center_and_width, function)


def _table_shares(values: np.ndarray, table: "Dataset", dataset: "Dataset") -> np.ndarray:
    """Values through the table of a VOI or Presentation LUT Sequence to [0, 1]."""
    output = _looked_up(values, table, dataset)
    depth, needed = int(table.LUTDescriptor[2]), int(output.max()).bit_length()
    # Tables of 10 or 12 bits are often declared as 16.
    depth = max(8, needed) if depth == 16 else max(depth, needed)
    return output / ((1 << depth) - 1)


def _window(dataset: "Dataset") -> tuple[float, float] | None:
    """Center and width. A width of 0 is no window: some machines fill both fields with it."""
    center, width = (_first(dataset.get(key)) for key in ("WindowCenter", "WindowWidth"))
    if center is None or width is None or float(width) <= 0:
        return None
    return float(center), float(width)


def _looked_up(values: np.ndarray, table: "Dataset", dataset: "Dataset") -> np.ndarray:
    """Values through the table of a LUT Sequence; beyond its ends, the ends.

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


def _first(value: Any) -> Any:
    """The first of several values, which are alternatives; None for an empty element."""
    if value is None or isinstance(value, int | float | str):
        return None if value == "" else value
    return value[0] if len(value) else None
