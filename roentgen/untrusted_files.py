"""Files from elsewhere: regular ones, JSON, XML and tar within bounds, models without code.

A folder of images may hold a link to an endless device or a pipe without a writer: neither is
read. All limits raise OSError or ValueError, as other files that cannot be read do.
"""

import errno
import gzip
import json
import os
import re
import stat
import tarfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO
from xml.etree import ElementTree

from roentgen.errors import InputError

LARGEST_JSON = 1 << 26  # bytes; the vocabulary of a large tokenizer has 20 million
DEEPEST_XML = 32  # elements within one another; a report of Open-i has 6
LARGEST_FILE = 1 << 30  # bytes of an image or a DICOM file
LARGEST_TAR = 1 << 27  # bytes unpacked; the reports of Open-i have 13 million
_LARGEST_TAR_HEADER = 1 << 20  # bytes that tarfile reads at once, such as a member's long name
# Entries of a model's configuration by which transformers fetches or runs code.
_CODE = "auto_map"
_LAYER = re.compile(r"(?<=\.)\d+(?=\.)")  # the number of a layer in the name of a tensor
_KERNELS = ("attn_implementation", "_attn_implementation")  # "owner/name" is code from the hub


def open_regular(path: Path) -> BinaryIO:
    """A file opened for reading. Raises OSError for anything but a regular file: a pipe, a device.

    Links are followed. Opening never waits, as it would for a pipe.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, "it is a pipe or a device, not a regular file", str(path))


def read_bounded(path: Path, largest: int) -> bytes:
    """The content of a regular file of at most `largest` bytes. Raises OSError for others."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        data = file.read(min(size, largest) + 1)
    if len(data) > min(size, largest):
        raise OSError(errno.EFBIG, f"it is larger than {largest} bytes", str(path))
    return data


def read_json(path: Path) -> Any:
    """The value in a JSON file. Raises OSError as `read_bounded` does, ValueError if not JSON."""
    try:
        return json.loads(read_bounded(path, LARGEST_JSON))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def parse_elements(data: bytes) -> ElementTree.Element:
    """The root of an XML document in any encoding.

    Raises ValueError for nesting deeper than `DEEPEST_XML` and for a document type, whose
    entities may unfold or name files; ElementTree.ParseError and LookupError for what is no XML.
    """
    return ElementTree.fromstring(data, ElementTree.XMLParser(target=_BoundedBuilder()))


class _BoundedBuilder(ElementTree.TreeBuilder):
    def __init__(self) -> None:
        super().__init__()
        self._depth = 0

    def start(self, tag: Any, attributes: Any) -> Any:
        self._depth += 1
        if self._depth > DEEPEST_XML:
            raise ValueError(f"it has more than {DEEPEST_XML} elements within one another")
        return super().start(tag, attributes)

    def end(self, tag: Any) -> Any:
        self._depth -= 1
        return super().end(tag)

    def doctype(self, *_: object) -> None:
        raise ValueError("it has a document type definition")


@contextmanager
def open_tar(path: Path) -> Iterator[tarfile.TarFile]:
    """A tar file, gzipped or plain, to be read in order.

    Reading raises ValueError past `LARGEST_TAR` bytes unpacked and for a header that is too large.
    """
    with open_regular(path) as raw:
        gzipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        unpacked: Any = _BoundedTar(gzip.GzipFile(fileobj=raw) if gzipped else raw)
        # Not "r|": as a stream, an archive cut off between two members would seem complete.
        with tarfile.open(fileobj=unpacked, mode="r:") as archive:
            yield archive


class _BoundedTar:
    def __init__(self, file: Any) -> None:
        self._file = file
        self.tell = file.tell

    def read(self, size: int) -> bytes:
        if size > _LARGEST_TAR_HEADER:
            raise ValueError("it has a header that is too large")
        self._check(self.tell())
        return bytes(self._file.read(size))

    def seek(self, place: int) -> None:
        self._check(place)
        self._file.seek(place)

    def _check(self, place: int) -> None:
        if place > LARGEST_TAR:
            raise ValueError(f"it unpacks to more than {LARGEST_TAR} bytes")


def refuse_code(folder: Path) -> None:
    """Raises InputError for a model folder whose configuration names code to fetch or run.

    It is checked before any library reads the folder: some of them ask on the terminal whether to
    run the code. What cannot be read is left to the library's own error.
    """
    for path in sorted(folder.glob("*config*.json")):
        try:
            config = read_json(path)
        except ValueError:
            continue
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}") from None
        for section in _sections(config):
            named = [key for key in _KERNELS if "/" in str(section.get(key, ""))]
            named += [_CODE] if section.get(_CODE) else []
            if named:
                raise InputError(
                    f"{path} names code of its own ({named[0]}: {str(section[named[0]])[:60]}), "
                    "which is never run: give a model whose classes transformers has, or remove "
                    "the entry if it has them"
                )


def check_network_files(folder: Path) -> None:
    """Raises InputError for a network that names code, or whose sizes its weights do not have.

    Each layer has a tensor, and each size is that of a tensor: a network that is built of larger
    numbers would take hours, or all memory, before a library compares it with the weights. Weights
    that cannot be read are left to the library's own error.
    """
    from safetensors import SafetensorError, safe_open

    refuse_code(folder)
    files, tensors = list(folder.glob("*.safetensors")), 0
    try:
        for file in files:
            with safe_open(file, framework="np") as opened:
                tensors += len(opened.keys())
        config = read_json(folder / "config.json")
        largest = sum(file.stat().st_size for file in files)
    except (OSError, SafetensorError, ValueError):
        return
    if not files:
        return
    for section in _sections(config):
        for key, value in section.items():
            limit = tensors if re.search("layer|depth", key) else largest
            blocks = [len(value)] if "block" in key and isinstance(value, list) else []
            if max(_numbers(value), default=0) > limit or max(blocks, default=0) > tensors:
                raise InputError(
                    f"{folder / 'config.json'} has {key}: {str(value)[:60]}, but the weights beside"
                    f" it are {tensors} tensors of {largest} bytes: restore the one or the other"
                )


def _numbers(value: Any) -> list[int]:
    """The whole numbers of an entry that is one, or a list with some."""
    values = value if isinstance(value, list) else [value]
    return [each for each in values if isinstance(each, int)]


def check_weights(
    network: Any, report: Mapping[str, Any], idle: Callable[[], Collection[str]] = tuple
) -> None:
    """Raises ValueError for weights that lack a part of a network, or have more layers than it.

    Libraries only log it, draw the missing part at random and leave the rest out. `report` is their
    `output_loading_info`; `idle` gives the weights that may be missing, as nothing depends on them.
    """
    missing = sorted(report["missing_keys"])
    if missing:
        missing = sorted(set(missing) - set(idle()))
    if missing:
        raise ValueError(f"{len(missing)} of its tensors are missing, such as {missing[0]}")
    own = {_LAYER.sub("", name) for name in network.state_dict()}
    if surplus := sorted(key for key in report["unexpected_keys"] if _LAYER.sub("", key) in own):
        raise ValueError(
            f"{len(surplus)} of its tensors are of layers that its configuration does not count, "
            f"such as {surplus[0]}"
        )


def _sections(value: Any) -> list[dict[str, Any]]:
    """The objects in a JSON value, itself among them; it is nested less deeply than a recursion."""
    found, waiting = [], [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            found.append(value)
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return found
