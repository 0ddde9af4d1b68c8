"""Program: verify every byte of a folder that a program of this project wrote.

python -m roentgen.verify FOLDER
"""

import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from roentgen.checksums import (
    KEY,
    FileSum,
    find_damage,
    has_own_checksum,
    key_damage,
    read_checked_json,
    read_checksums,
)
from roentgen.chunk_checksums import FileRecord, find_chunk_damage
from roentgen.config import load_config
from roentgen.errors import InputError, run_program
from roentgen.storage import CARD, CHECKSUMS, MANIFEST, readable_size
from roentgen.terminal.progress import Progress

CHECKPOINT, AVERAGE = "checkpoint.json", "average.json"  # what vouches for files in chunks


def _json_damage(path: Path) -> list[str]:
    """What is wrong with a JSON file that has its own checksum, a line."""
    try:
        read_checked_json(path)
    except InputError:
        return [f"{path.name} has changed since it was written"]
    return []


def _tensor_damage(path: Path) -> list[str]:
    """What is wrong with the tensors of a cache or a network's arrays, a line."""
    from roentgen.cache import shard_damage
    from roentgen.vision.network_cache import arrays_damage

    return (shard_damage if path.name.startswith("shard-") else arrays_damage)(path)


# Files with checksums of their own, by name; the first pattern holds.
_VOUCHING: dict[str, Callable[[Path], list[str]]] = {
    "*-*.safetensors": _tensor_damage,
    KEY: key_damage,
    "*.json": _json_damage,
}


@dataclass(frozen=True, kw_only=True)
class VerifyConfig:
    """Verify every byte of a folder that a program of this project wrote.

    It verifies the folders in it too, and follows no link out of it. It ends with 0 if all is as it
    was written, else with 1 after a line for each damage and for each file that was added. A card
    (README.md) may be edited.
    """

    folder: Path
    """Of datasets, models, adapters, runs with their checkpoints and averages, results, exports or
    caches."""


class FileCheck(NamedTuple):
    """A file and what finds its damage."""

    path: Path
    bytes: int
    find: Callable[[], list[str]]  # lines without the folder


@dataclass(kw_only=True)
class Verification:
    """What was verified in a folder."""

    files: int = 0
    bytes: int = 0
    damaged: list[str] = field(default_factory=list)  # a line each
    edited: list[Path] = field(default_factory=list)  # cards, which may be
    unknown: list[Path] = field(default_factory=list)  # files without a checksum


def verify(folder: Path) -> Verification:
    """Verify all files below a folder. Raises InputError for one without any checksum."""
    if not folder.is_dir():
        raise InputError(f"no such folder: {folder}")
    result = Verification()
    checks: dict[Path, FileCheck] = {}
    for place in (folder, *sorted(path for path in folder.rglob("*") if path.is_dir())):
        try:
            found = {check.path: check for check in _checks(place)}
            checks = found | checks  # of a file that an outer folder lists, its check
        except InputError as error:
            result.damaged.append(str(error))
        except OSError as error:
            result.damaged.append(f"{error.filename or place} cannot be read: {error.strerror}")
    inside = {path for path, check in checks.items() if _is_inside(path, folder)}
    result.damaged += [f"{path} is a link out of the folder" for path in checks.keys() - inside]
    total = sum(checks[path].bytes for path in inside)
    with Progress(total, "verify", "B") as bar:
        for path in sorted(inside):
            check = checks[path]
            damage = [f"{path.parent}: {line}" for line in check.find()]
            if damage and path.name == CARD and path.is_file():
                result.edited.append(path)
            else:
                result.damaged += damage
            result.files, result.bytes = result.files + 1, result.bytes + check.bytes
            bar.update(check.bytes)
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    for path in files:
        if path in checks:
            continue
        if complete := _complete_folder(path, checks):
            name = path.relative_to(complete)
            result.damaged.append(f"{complete}: {name} is not one of its files")
        else:
            result.unknown.append(path)
    if not checks and not result.damaged:
        raise InputError(f"{folder} holds nothing that has checksums")
    return result


def _complete_folder(path: Path, checked: Collection[Path]) -> Path | None:
    """The folder whose checksums would have a file; None in one that may grow, such as a run."""
    for place in path.parents:
        if place / CHECKSUMS in checked:
            return place
        if place / MANIFEST in checked:
            return None
    return None


def _is_inside(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def _checks(place: Path) -> Iterator[FileCheck]:
    """The checks of what is in one folder; inner folders have their own.

    Raises InputError if that which vouches for its files is damaged.
    """
    sums, records = _vouched(place)
    for name, expected in sums.items():
        yield FileCheck(
            place / name,
            expected.bytes,
            lambda n=name, e=expected: list(find_damage(place, {n: e})),  # type: ignore[misc]
        )
    for name, record in records.items():
        yield FileCheck(
            place / name,
            record["bytes"],
            lambda n=name, r=record: find_chunk_damage(place, {n: r}),  # type: ignore[misc]
        )
    known = {*sums, *records}
    for pattern, find in _VOUCHING.items():
        for path in place.glob(pattern):
            if path.name not in known and (find != _json_damage or has_own_checksum(path)):
                known.add(path.name)
                yield FileCheck(path, path.stat().st_size, lambda p=path, f=find: f(p))  # type: ignore[misc]


def _vouched(place: Path) -> tuple[dict[str, FileSum], dict[str, FileRecord]]:
    """The files of a folder that have a checksum, and those that have one for each chunk."""
    sums: dict[str, FileSum] = {}
    records: dict[str, FileRecord] = {}
    manifest = read_checked_json(place / MANIFEST) if (place / MANIFEST).exists() else {}
    if "checksums" in manifest or (place / CHECKSUMS).exists():
        sums = read_checksums(place, manifest.get("checksums"))
    if (place / CHECKPOINT).exists():
        records |= read_checked_json(place / CHECKPOINT)["files"]
    if (place / AVERAGE).exists():
        files = read_checked_json(place / AVERAGE)["files"]
        records |= {name: entry["record"] for name, entry in files.items()}
    return sums, records


def main() -> None:
    """Verify the folder that the command line names."""
    result = verify(load_config(VerifyConfig, argument="folder").folder)
    for line in result.damaged:
        print(f"damaged: {line}")  # noqa: T201
    for path in result.edited:
        print(f"edited, as a card may be: {path}")  # noqa: T201
    if result.unknown:
        print(f"without a checksum: {len(result.unknown)} files, as {result.unknown[0]}")  # noqa: T201
    found = f"{len(result.damaged)} damaged" if result.damaged else "all as they were written"
    print(f"{result.files} files, {readable_size(result.bytes)}: {found}")  # noqa: T201
    sys.exit(1 if result.damaged else 0)


if __name__ == "__main__":
    run_program(main)
