"""Work folder: work in parts, each a fixed range of items with finished shards and a record.

The folder is hidden beside the output and grows by complete parts, so that a killed run resumes and
several processes or machines work in it without communication:

    .NAME.preparing/, .NAME.generating/ or .NAME.annotating/
      work.json    identity of the work: configuration, versions, fingerprint of the plan
      making/      unfinished shards: a folder for each rank, in it one for each attempt
      dataset/     the later output: train/data-00012.arrow, ...
      parts/       00012.json: the record of a finished part, written after its shards
"""

import json
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, Literal, Self, TypeVar

from roentgen.checksums import file_sum, read_checked_json, write_checked_json
from roentgen.dataset.shards import Shard
from roentgen.errors import InputError
from roentgen.storage import (
    INSTALLED,
    MANIFEST,
    check_writable,
    discard_folder,
    install_folder,
    is_reserved,
    remove,
    reserve_output,
    write_file,
    write_json,
)

Doing = Literal["preparing", "generating", "screening", "annotating"]

_PATIENCE = 30  # seconds
_THREADS = 8  # of the verification; hashing releases the interpreter


@dataclass(frozen=True, kw_only=True)
class Part:
    """The record of a finished part."""

    number: int
    items: int
    shards: Mapping[str, Shard]  # by split

    def to_json(self) -> dict[str, Any]:
        """Plain values that JSON holds."""
        return {
            "number": self.number,
            "items": self.items,
            "shards": {split: shard.to_json() for split, shard in self.shards.items()},
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`; raises KeyError, TypeError or ValueError for anything else."""
        return cls(**cls.values(plain))

    @classmethod
    def values(cls, plain: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of a record."""
        return {
            "number": plain["number"],
            "items": plain["items"],
            "shards": {split: Shard.from_json(shard) for split, shard in plain["shards"].items()},
        }


P = TypeVar("P", bound=Part)


@dataclass(frozen=True)
class WorkFolder(Generic[P]):
    """The hidden folder beside an output, in which it is made part by part."""

    target: Path  # the output
    record: type[P]  # of a part
    rank: int = 0  # of the process that works in it
    doing: Doing = "preparing"

    @cached_property
    def folder(self) -> Path:
        """Its path."""
        target = self.target.resolve()
        return target.with_name(f".{target.name}.{self.doing}")

    @property
    def dataset(self) -> Path:
        """The later output."""
        return self.folder / "dataset"

    @property
    def making(self) -> Path:
        """For the unfinished shards of this rank."""
        return self.folder / "making" / str(self.rank)

    def record_path(self, number: int) -> Path:
        """Path of the record of a finished part."""
        return self.folder / "parts" / f"{number:05d}.json"

    def join(self, identity: Mapping[str, Any]) -> None:
        """Join work that another process has opened. Raises InputError if its identity differs.

        `identity` may be a subset of that process's. Waits a little, for a network file system may
        show a new file late.
        """
        for _ in range(_PATIENCE):
            if not self._differences(identity):
                self.making.mkdir(exist_ok=True)
                return
            time.sleep(1)
        raise InputError(
            f"{self.folder} is not this process's work ({self._difference(identity)}): all "
            "processes need the same disk, corpus, configuration and versions"
        )

    def identity(self) -> dict[str, Any] | None:
        """Identity of the work of an earlier run or another process; None if there is none."""
        with suppress(OSError, ValueError):
            found = json.loads((self.folder / "work.json").read_text(encoding="utf-8"))
            return found if isinstance(found, dict) else None
        return None

    def _differences(self, identity: Mapping[str, Any]) -> list[str]:
        """Keys in which the identity of the work in the folder differs."""
        found = self.identity() or {}
        return [key for key, value in _as_json(identity).items() if found.get(key) != value]

    def _difference(self, identity: Mapping[str, Any]) -> str:
        if self.identity() is None:
            return "it is missing"
        return "another " + ", ".join(self._differences(identity))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Reserve the output; afterwards the folder remains only if it holds finished parts.

        Raises InputError if another run makes this output.
        """
        check_writable(self.target)
        with reserve_output(self.target):
            self.folder.mkdir(exist_ok=True)
            try:
                yield
            finally:
                if self.folder.exists() and not self.finished():
                    self.remove()

    def is_abandoned(self) -> bool:
        """Whether the work exists, but not the first process, which would finish it."""
        return not is_reserved(self.target) and self.folder.exists()

    def open(self, identity: Mapping[str, Any], *, keep_other: bool = False) -> list[str]:
        """Resume with the finished parts of this work, or start over; returns notes for the user.

        `identity` is all that the bytes of the parts depend on, as JSON values. `keep_other`: raise
        InputError instead of discarding the parts of other work.
        """
        notes = []
        if self._differences(identity):
            if keep_other and self.finished():
                raise InputError(
                    f"{self.folder} holds {len(self.finished())} finished parts of a run with "
                    f"{self._difference(identity)}: run that again to finish it, choose another "
                    "output, or remove the folder"
                )
            if self.identity() is not None:
                notes.append(
                    f"unfinished work of {self.doing} {self.target} is discarded, for it had "
                    f"{self._difference(identity)}: starting over"
                )
            for inner in ("work.json", "dataset", "parts"):
                remove(self.folder / inner)
        remove(self.making.parent)
        for folder in (self.making, self.dataset, self.folder / "parts"):
            folder.mkdir(exist_ok=True, parents=True)
        write_json(self.folder / "work.json", dict(identity))
        dropped = self._drop_damaged()
        self._remove_all_but_shards()
        if dropped:
            notes.append(f"{dropped} parts are damaged and made again")
        return notes

    def finished(self) -> set[int]:
        """The numbers of the parts that have a record."""
        return {int(path.stem) for path in (self.folder / "parts").glob("[0-9]*.json")}

    def make(self, number: int, write: Callable[[Path], P]) -> P | None:
        """One part; None if another rank has made it.

        `write` gets an empty folder, in which it leaves the part's shards as SPLIT.arrow. They are
        renamed and the record is written once all of them are on disk.
        """
        if self.record_path(number).exists():
            return None
        making = self.making / uuid.uuid4().hex
        try:
            making.mkdir()
            part = write(making)
            for split, shard in part.shards.items():
                (self.dataset / split).mkdir(exist_ok=True)
                (making / f"{split}.arrow").replace(self.dataset / shard.index.file)
            write_checked_json(self.record_path(number), part.to_json(), indent=None)
        except FileNotFoundError:
            if self.dataset.exists():
                raise
            return None  # another rank made it and has finished the dataset
        finally:
            shutil.rmtree(making, ignore_errors=True)
        return part

    def read(self, number: int) -> P:
        """The record of a part; raises InputError if it is damaged."""
        path = self.record_path(number)
        try:
            part = self.record.from_json(read_checked_json(path))
            if part.number != number:
                raise ValueError(f"it is that of part {part.number}")
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path} is damaged ({error}): run it again") from None
        return part

    def _drop_damaged(self) -> int:
        """Drop the parts that are damaged, so that they are made again."""
        with ThreadPoolExecutor(_THREADS) as pool:
            numbers = list(self.finished())
            intact = pool.map(self._is_intact, numbers)
            damaged = [n for n, is_intact in zip(numbers, intact, strict=True) if not is_intact]
        for number in damaged:
            self.record_path(number).unlink()
        return len(damaged)

    def _remove_all_but_shards(self) -> None:
        """Remove what a killed run had added to the finished parts."""
        records = [self.read(number).shards for number in self.finished()]
        shards = {self.dataset / s.index.file for record in records for s in record.values()}
        for path in self.dataset.rglob("*"):
            if path.is_file() and path not in shards:
                path.unlink()

    def _is_intact(self, number: int) -> bool:
        """Whether the record and the shards of a part are as they were written."""
        try:
            indices = [shard.index for shard in self.read(number).shards.values()]
            return all(file_sum(self.dataset / index.file) == index.sum for index in indices)
        except (InputError, OSError):
            return False

    def install(self, finished: Path, *, overwrite: bool) -> None:
        """Install a finished folder within this one as the output, and remove this one."""
        write_file(self.folder / INSTALLED, (finished / MANIFEST).read_bytes())
        install_folder(finished, self.target.resolve(), overwrite=overwrite)
        self.remove()

    def remove(self) -> None:
        """Remove it at once; a process that still works in it finds that it is gone."""
        discard_folder(self.folder, self.target)


def shard_file(split: str, number: int) -> str:
    """Path of the shard of a part in the dataset."""
    return f"{split}/data-{number:05d}.arrow"


def _as_json(identity: Mapping[str, Any]) -> Any:
    """As read back from a file: tuples as lists."""
    return json.loads(json.dumps(dict(identity)))


def order_of_parts(parts: int, rank: int, ranks: int) -> list[int]:
    """A rank's own parts (number modulo ranks), then the others' from the end.

    So a slow or dead rank delays no other. Two that make the same part write the same, and the
    second changes nothing.
    """
    mine = list(range(rank, parts, ranks))
    return mine + [number for number in reversed(range(parts)) if number % ranks != rank]
