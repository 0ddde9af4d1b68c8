"""Checksums of files and folders: written with them, verified when they are opened.

They are XXH3, which reads as fast as memory does: they find damage, not forgery.
"""

import json
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import xxhash

from roentgen.errors import InputError
from roentgen.storage import CHECKSUMS, MANIFEST, write_file

KEY = "key.json"  # of a cached network: the name of its folder
_HEAD, _DIGITS = b'{"checksum": "', 32
_CHUNK = 2**20


class FileSum(NamedTuple):
    """Size and checksum of a file."""

    bytes: int
    checksum: str


def checksum(*pieces: Any) -> str:
    """XXH3 of bytes-like objects one after the other, 32 hexadecimal digits."""
    digest = xxhash.xxh3_128()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def file_sum(path: Path) -> FileSum:
    """Size and checksum of a file. Raises OSError if it cannot be read."""
    digest, size = xxhash.xxh3_128(), 0
    chunk = memoryview(bytearray(_CHUNK))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(chunk):
            digest.update(chunk[:count])
            size += count
    return FileSum(size, digest.hexdigest())


def write_checked_json(path: Path, value: Mapping[str, Any], *, indent: int | None = 2) -> None:
    """Write a JSON object atomically; its first key is the checksum of the file's name and text.

    Raises ValueError for NaN and infinity, which JSON does not allow.
    """
    assert value, "an empty object has nothing to check"
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    content = f",{text[1:]}\n".encode()
    write_file(path, _HEAD + checksum(path.name.encode(), content).encode() + b'"' + content)


def read_checked_json(path: Path) -> dict[str, Any]:
    """The object in a file of `write_checked_json`.

    Raises InputError if it has been damaged, edited or renamed, OSError if it cannot be read.
    """
    data = path.read_bytes()
    found, content = data[len(_HEAD) :][:_DIGITS], data[len(_HEAD) + _DIGITS + 1 :]
    if data != _HEAD + checksum(path.name.encode(), content).encode() + b'"' + content:
        has_checksum = data.startswith(_HEAD) and found.isalnum()
        what = "its checksum differs" if has_checksum else "it has no checksum"
        raise InputError(
            f"{path} is damaged or was edited ({what}): restore it, or make its folder again"
        )
    value: dict[str, Any] = json.loads(data)
    del value["checksum"]
    return value


def has_own_checksum(path: Path) -> bool:
    """Whether a file is, or was, one of `write_checked_json`. Raises OSError if unreadable."""
    with path.open("rb") as file:
        return file.read(len(_HEAD)) == _HEAD


def write_checksums(
    folder: Path,
    files: Iterable[str] | None = None,
    known: Mapping[str, FileSum] | None = None,
    *,
    has_manifest: bool = False,
) -> str:
    """Write the checksums of a folder; returns that of the file with them.

    `files` are names below the folder, by default all; of an inner folder with a manifest only that
    is listed, as it vouches for the others. Those in `known` are not read. `has_manifest`: a
    manifest belongs to the folder, and is written after them.
    """
    known = known or {}
    names = sorted(_files_below(folder) if files is None else files)
    sums = {name: known.get(name) or file_sum(folder / name) for name in names}
    plain = {name: each._asdict() for name, each in sums.items()}
    write_checked_json(folder / CHECKSUMS, {"has_manifest": has_manifest, "files": plain})
    return file_sum(folder / CHECKSUMS).checksum


def _files_below(folder: Path) -> Iterator[str]:
    inner = {path.parent for path in folder.rglob(MANIFEST)} - {folder}
    own = {folder / MANIFEST, folder / CHECKSUMS}
    for path in folder.rglob("*"):
        is_vouched = path.name != MANIFEST and not inner.isdisjoint(path.parents)
        if path.is_file() and path not in own and not is_vouched:
            yield path.relative_to(folder).as_posix()


def read_checksums(folder: Path, expected: str | None = None) -> dict[str, FileSum]:
    """The checksums of a folder's files, by name; `expected` is that of the file with them.

    Raises InputError if the file is missing, damaged or another folder's.
    """
    path = folder / CHECKSUMS
    try:
        content = read_checked_json(path)
        is_ours = expected is None or file_sum(path).checksum == expected
    except OSError as error:
        reason = "it is missing" if isinstance(error, FileNotFoundError) else error.strerror
        raise InputError(
            f"{path} cannot be read ({reason}): restore it, or make the folder again"
        ) from None
    if not is_ours:
        raise InputError(f"{path} is of another folder: restore its own, or make the folder again")
    if content["has_manifest"] and not (folder / MANIFEST).exists():
        raise InputError(f"{folder} lacks its {MANIFEST}: restore it, or make the folder again")
    sums = {name: FileSum(**values) for name, values in content["files"].items()}
    for name in sums:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise InputError(f"{path} names {name!r}, which is not below its folder")
    return sums


def find_damage(
    folder: Path, sums: Mapping[str, FileSum], *, sizes_only: Collection[str] = ()
) -> Iterator[str]:
    """What is wrong with the files that are not as they were written, a line for each."""
    for name, expected in sums.items():
        path = folder / name
        try:
            found = path.stat()
            if not stat.S_ISREG(found.st_mode):
                yield f"{name} is no file"
            elif found.st_size != expected.bytes:
                yield f"{name} has {found.st_size} bytes, not {expected.bytes}"
            elif name not in sizes_only and file_sum(path) != expected:
                yield f"{name} has changed since it was written"
        except FileNotFoundError:
            yield f"{name} is missing"
        except OSError as error:
            yield f"{name} cannot be read ({error.strerror})"


def check_files(
    folder: Path, sums: Mapping[str, FileSum], what: str, *, sizes_only: Collection[str] = ()
) -> None:
    """Raises InputError that names the first damaged file; `what` names the folder's kind."""
    for damage in find_damage(folder, sums, sizes_only=sizes_only):
        raise InputError(f"{what} {folder} is damaged: {damage}; restore it, or make it again")


def key_damage(file: Path) -> list[str]:
    """What is wrong with the record that names a network's folder, a line; none if it is right."""
    name = file.absolute().parent.name
    try:
        key = read_checked_json(file)["key"]
    except FileNotFoundError:
        return [f"{file.name} is missing"]
    except (InputError, OSError):
        return [f"{file.name} has changed since it was written"]
    return [] if key == name else [f"{file.name} is of {key}"]
