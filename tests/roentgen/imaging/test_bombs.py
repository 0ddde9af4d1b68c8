"""Small files that claim or unfold to enormous ones cost little and are refused in one line."""

import io
import json
import os
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import uid

from roentgen.errors import InputError
from roentgen.imaging.dicom.frame import read_header
from roentgen.imaging.images import image_size, open_gray

MakeDicom = Callable[..., bytes]
LosslessJpeg = Callable[[np.ndarray, int], bytes]
PIXELS = np.arange(48 * 40, dtype=np.uint16).reshape(48, 40)
BYTES, SECONDS = 512 << 20, 5.0  # beyond what the libraries take; for each file
_CHILD = """
import json, resource, sys, time
from pathlib import Path
from roentgen.imaging.images import image_size, prepare_image
from roentgen.errors import InputError
import roentgen.imaging.dicom.frame
taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + int(sys.argv[2]),) * 2)
for path in sorted(Path(sys.argv[1]).iterdir()):
    started = time.perf_counter()
    messages = []
    for function, arguments in ((prepare_image, (64, "pad")), (image_size, ())):
        try:
            function(path, *arguments)
        except InputError as error:
            messages.append(str(error))
    print(json.dumps([path.name, messages, time.perf_counter() - started]))
"""


def png(
    width: int, height: int, chunks: list[tuple[bytes, bytes]], depth: int = 8, color: int = 0
) -> bytes:
    """A PNG of such a header; gray by default."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(bytes(5000))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    )


def jpeg_of(width: int, height: int) -> bytes:
    """A small JPEG whose frame header claims another size."""
    file = io.BytesIO()
    Image.fromarray(PIXELS.astype(np.uint8)).save(file, "JPEG")
    data = bytearray(file.getvalue())
    struct.pack_into(">HH", data, data.find(b"\xff\xc0") + 5, height, width)
    return bytes(data)


def sized(jpeg: bytes, side: int) -> bytes:
    """A lossless JPEG whose frame header claims such sides."""
    data = bytearray(jpeg)
    struct.pack_into(">HH", data, data.find(b"\xff\xc3") + 5, side, side)
    return bytes(data)


def meta(dicom: bytes) -> bytes:
    """Preamble and file meta information."""
    return dicom[: 144 + struct.unpack_from("<I", dicom, 140)[0]]


def gibibyte(first: bytes, window: int) -> bytes:
    """So many zeros after `first`, deflated: one block again and again."""
    packer = zlib.compressobj(9, zlib.DEFLATED, window)
    start = packer.compress(first) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(1 << 22)) + packer.flush(zlib.Z_FULL_FLUSH)
    return start + block * 256


def nested(depth: int) -> bytes:
    """Sequences in sequences, as the bytes of elements in implicit VR."""
    opening = struct.pack("<HHI", 0x0040, 0xA730, 0xFFFFFFFF) + struct.pack(
        "<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    return opening * depth


@pytest.fixture(scope="module")
def bombs(make_dicom: MakeDicom, lossless_jpeg: LosslessJpeg) -> dict[str, tuple[bytes, str]]:
    """Files by name, and what is said of them."""
    huge = {"Rows": 60000, "Columns": 60000}
    refused = "has 60000x60000 pixels: more than"
    deflated = make_dicom(PIXELS, syntax=uid.DeflatedExplicitVRLittleEndian)
    header = struct.pack("<HH2sHI", 0x0009, 0x1001, b"OB", 0, 1 << 30)
    text, profile = b"Comment\0\0" + gibibyte(b"", 15), b"Profile\0\0" + gibibyte(b"", 15)
    jpeg = lossless_jpeg(PIXELS, 12)
    implicit = make_dicom(PIXELS, syntax=uid.ImplicitVRLittleEndian)
    return {
        "header.png": (png(20000, 10000, []), "exceeds limit"),
        "whole.png": (encoded_bits(20000, 10000), "exceeds limit"),
        "channels.png": (png(9400, 9400, [], 16, 6), "has 9400x9400 pixels in color"),
        "text.png": (png(40, 48, [(b"zTXt", text)]), "[Dd]ecompressed data too large"),
        "profile.png": (png(40, 48, [(b"iCCP", profile)]), "[Dd]ecompressed|truncated|broken"),
        "size.jpg": (jpeg_of(20000, 10000), "exceeds limit"),
        "within.jpg": (jpeg_of(9000, 9000), "bytes for 81000000 pixels: the file is truncated"),
        "size.dcm": (make_dicom(PIXELS, **huge), refused),
        "rle.dcm": (make_dicom(PIXELS, syntax=uid.RLELossless, **huge), refused),
        "rle-within.dcm": (
            make_dicom(PIXELS, syntax=uid.RLELossless, Rows=9000, Columns=9000),
            "of 81000000 pixels: the file is cut off",
        ),
        "wavelet.dcm": (make_dicom(PIXELS, syntax=uid.JPEG2000Lossless, **huge), refused),
        "stream.dcm": (
            make_dicom(PIXELS, syntax=uid.JPEGLossless, frame=sized(jpeg, 60000)),
            "compressed pixels are 60000x60000",
        ),
        "jpeg-within.dcm": (
            make_dicom(
                PIXELS, syntax=uid.JPEGLossless, frame=sized(jpeg, 9000), Rows=9000, Columns=9000
            ),
            "bytes for 81000000 pixels: the file is truncated",
        ),
        "jpeg.dcm": (
            make_dicom(
                PIXELS.astype("u1"), syntax=uid.JPEGBaseline8Bit, frame=jpeg_of(65000, 65000)
            ),
            "compressed pixels are 65000x65000",
        ),
        "frames.dcm": (make_dicom(PIXELS, NumberOfFrames=1_000_000_000), "has 1000000000 frames"),
        "bits.dcm": (make_dicom(PIXELS, BitsAllocated=65528), "has 16 of 65528 bits"),
        "deflated.dcm": (meta(deflated) + gibibyte(header, -15), "inflates to more than 256 MiB"),
        "nested.dcm": (meta(implicit) + nested(20000), "recursion"),
    }


def encoded_bits(width: int, height: int) -> bytes:
    """A PNG of one bit a pixel, all of it there."""
    file = io.BytesIO()
    Image.new("1", (width, height)).save(file, "PNG")
    return file.getvalue()


def test_bombs_are_refused_fast_and_in_little_memory(
    bombs: dict[str, tuple[bytes, str]], tmp_path: Path
) -> None:
    for name, (data, _) in bombs.items():
        assert len(data) < 2 << 20, name
        (tmp_path / name).write_bytes(data)
    run = subprocess.run(
        [sys.executable, "-c", _CHILD, str(tmp_path), str(BYTES)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert run.stderr == ""
    told = [json.loads(line) for line in run.stdout.splitlines()]
    assert {name for name, *_ in told} == set(bombs)
    for name, messages, seconds in told:
        print(f"{name}: {messages} {seconds:.1f} s")
        assert messages, name
        assert re.search(bombs[name][1], messages[0]), (name, messages)
        assert all(message.startswith(name) and "\n" not in message for message in messages)
        assert seconds < SECONDS, name


@pytest.mark.parametrize(
    "read", [image_size, open_gray, lambda path: read_header(path, ["Modality"])]
)
def test_an_endless_device_and_a_pipe_are_refused(
    tmp_path: Path, read: Callable[[Path], object]
) -> None:
    (tmp_path / "link.png").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe.png")
    for name in ("link.png", "pipe.png"):
        with pytest.raises(InputError, match=f"{name}: "):
            read(tmp_path / name)
