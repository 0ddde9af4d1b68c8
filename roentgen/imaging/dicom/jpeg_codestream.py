"""Header of a compressed frame (JPEG, JPEG-LS, JPEG 2000), read before decoding."""

import struct
from dataclasses import dataclass

from roentgen.errors import InputError

_SIZ = b"\xff\x4f\xff\x51"  # JPEG 2000: start of codestream, then the image's size
_COD = b"\xff\x52"
# JPEG start-of-frame markers: C4, C8 and CC mean something else.
_JPEG_LS = 0xF7
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {_JPEG_LS}

_PER_BYTE = 8 * 64  # pixels: a block of 8x8 takes a bit at least


@dataclass(frozen=True, kw_only=True)
class Codestream:
    """The shape of a JPEG, JPEG-LS or JPEG 2000 frame."""

    width: int  # pixels
    height: int  # pixels
    components: int
    precision: int  # bits
    signed: bool  # only in JPEG 2000
    levels: int  # wavelet levels; 0 outside JPEG 2000
    near: int  # the greatest error of a sample in JPEG-LS; 0 elsewhere


def parse_codestream(frame: bytes) -> Codestream:
    """Read a frame's own header. Raises InputError when it has none."""
    try:
        start = frame.find(_SIZ, 0, 4096)
        return _parse_jpeg(frame) if start < 0 else _parse_jpeg2000(frame, start)
    except (struct.error, IndexError):
        raise InputError("its compressed pixels have no readable header") from None


def check_complete(jpeg: bytes, pixels: int) -> None:
    """Refuse a truncated JPEG, also one that a broken copy padded with zeros.

    Decoders silently make the rest gray. Raises InputError.
    """
    end = jpeg.rfind(b"\xff\xd9")
    if end < len(jpeg) - 64 and end < jpeg.rfind(b"\xff\xda"):
        raise InputError("has no end-of-image marker: the file is truncated")
    if pixels > _PER_BYTE * len(jpeg):
        raise InputError(f"has {len(jpeg)} bytes for {pixels} pixels: the file is truncated")


def _parse_jpeg2000(frame: bytes, start: int) -> Codestream:
    right, bottom, left, top = struct.unpack_from(">4I", frame, start + 8)
    components, depth = struct.unpack_from(">HB", frame, start + 40)
    coding = frame.find(_COD, start)
    return Codestream(
        width=right - left,
        height=bottom - top,
        components=components,
        precision=(depth & 0x7F) + 1,
        signed=bool(depth & 0x80),
        levels=frame[coding + 9] if coding >= 0 else 0,
        near=0,
    )


def _parse_jpeg(frame: bytes) -> Codestream:
    place = 2
    while frame[place] == 0xFF:
        marker = frame[place + 1]
        if marker == 0xFF:  # fill byte
            place += 1
            continue
        (length,) = struct.unpack_from(">H", frame, place + 2)
        if marker in _FRAMES:
            precision, height, width, components = struct.unpack_from(">BHHB", frame, place + 4)
            return Codestream(
                width=width,
                height=height,
                components=components,
                precision=precision,
                signed=False,
                levels=0,
                near=_near(frame, place + 2 + length) if marker == _JPEG_LS else 0,
            )
        place += 2 + length
    raise InputError("its compressed pixels have no readable header")


def _near(frame: bytes, place: int) -> int:
    """NEAR of a JPEG-LS scan, ISO/IEC 14495-1 C.2.3; markers are read from `place`."""
    while frame[place + 1] != 0xDA:
        (length,) = struct.unpack_from(">H", frame, place + 2)
        place += 2 + length
    return frame[place + 5 + 2 * frame[place + 4]]
