"""Work in parts: each a fixed run of items, made into finished shards with a record.

The work folder lies hidden beside the output and grows by whole parts, so that a killed run goes on
where it was and several processes or machines work in it without talking to each other:

    .NAME.preparing/ or .NAME.generating/
      work.json    what is made: a fingerprint of configuration, versions and plan
      making/      shards that are being written: a folder a rank, in it one an attempt
      dataset/     what becomes the output: train/data-00012.arrow, ...
      parts/       00012.json: the record of a finished part, written after its shards
"""

import fcntl
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Generic, Literal, Self, TypeVar

import pyarrow as pa

from roentgen.data.shards import Tally
from roentgen.errors import InputError
from roentgen.runs import check_writable, write_json

Doing = Literal["preparing", "generating"]

_PATIENCE = 30  # seconds


@dataclass(frozen=True, kw_only=True)
class Shard:
    """A finished shard file of one part and split."""

    file: str  # below the dataset folder
    bytes: int
    tally: Tally


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
            "shards": {
                split: {"file": s.file, "bytes": s.bytes, "tally": s.tally.to_json()}
                for split, s in self.shards.items()
            },
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
            "shards": {
                split: Shard(file=s["file"], bytes=s["bytes"], tally=Tally.from_json(s["tally"]))
                for split, s in plain["shards"].items()
            },
        }


P = TypeVar("P", bound=Part)


@dataclass(frozen=True)
class WorkFolder(Generic[P]):
    """The hidden folder beside an output in which it is made, part by part."""

    target: Path  # the output
    record: type[P]  # of a part
    rank: int = 0  # of the process that works in it
    doing: Doing = "preparing"

    @cached_property
    def folder(self) -> Path:
        """Where it lies."""
        target = self.target.resolve()
        return target.with_name(f".{target.name}.{self.doing}")

    @property
    def dataset(self) -> Path:
        """What becomes the output."""
        return self.folder / "dataset"

    @property
    def making(self) -> Path:
        """For this rank's shards that are not finished."""
        return self.folder / "making" / str(self.rank)

    def record_path(self, number: int) -> Path:
        """Where the record of a finished part is."""
        return self.folder / "parts" / f"{number:05d}.json"

    def join(self, identity: Mapping[str, Any]) -> None:
        """Take part in work that another process has opened. Raises InputError if it is not this.

        It waits a little, for a network's file system may show a new file late.
        """
        for _ in range(_PATIENCE):
            if self._found() == _as_json(identity):
                self.making.mkdir(exist_ok=True)
                return
            time.sleep(1)
        raise InputError(
            f"{self.folder} is not this process's work ({self._difference(identity)}): all "
            "processes need the same disk, corpus, configuration and versions"
        )

    def _found(self) -> Any:
        with suppress(OSError, ValueError):
            return json.loads((self.folder / "work.json").read_text(encoding="utf-8"))
        return None

    def _difference(self, identity: Mapping[str, Any]) -> str:
        found = self._found()
        if not isinstance(found, dict):
            return "it is not there"
        return "another " + ", ".join(k for k, v in _as_json(identity).items() if found.get(k) != v)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other runs out; afterwards the folder stays only if it holds finished parts.

        Raises InputError if another run makes this output; a killed run holds no lock.
        """
        check_writable(self.target)
        self.folder.mkdir(exist_ok=True)
        with self._lock_path.open("w") as file:
            if not (_lock(file, fcntl.LOCK_EX) and self._is_lock(file)):
                raise InputError(
                    f"another run is {self.doing} {self.target}: wait for it, or choose another "
                    "output"
                )
            try:
                yield
            finally:
                if self.folder.exists() and not self.finished():
                    self.remove()

    def is_abandoned(self) -> bool:
        """Whether the work is there, but not the first process, which ends it."""
        try:
            with self._lock_path.open("r") as file:
                return _lock(file, fcntl.LOCK_SH, without=False) and self._is_lock(file)
        except FileNotFoundError:
            return False

    @property
    def _lock_path(self) -> Path:
        return self.folder / "lock"

    def _is_lock(self, file: IO[str]) -> bool:
        """Whether nobody has removed the lock's file since it was opened."""
        with suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(file.fileno()), self._lock_path.stat())
        return False

    def open(self, identity: Mapping[str, Any], *, keep_other: bool = False) -> list[str]:
        """Go on with the finished parts of this work, or start anew; returns what is to be told.

        `identity` is all that the bytes of the parts depend on, as JSON values. `keep_other`: raise
        InputError, where otherwise the parts of another work would be thrown away.
        """
        notes = []
        found = self._found()
        if found != _as_json(identity):
            if keep_other and self.finished():
                raise InputError(
                    f"{self.folder} holds {len(self.finished())} finished parts of a run with "
                    f"{self._difference(identity)}: run that again to finish it, choose another "
                    "output, or remove the folder"
                )
            if found is not None:
                notes.append(
                    f"unfinished work of {self.doing} {self.target} is thrown away, for it had "
                    f"{self._difference(identity)}: starting anew"
                )
            for inner in ("work.json", "dataset", "parts"):
                _remove(self.folder / inner)
        _remove(self.making.parent)
        for folder in (self.making, self.dataset, self.folder / "parts"):
            folder.mkdir(exist_ok=True, parents=True)
        write_json(self.folder / "work.json", dict(identity))
        dropped = self._drop_damaged()
        if dropped:
            notes.append(f"{dropped} parts are damaged and made again")
        return notes

    def finished(self) -> set[int]:
        """The numbers of the parts that have a record."""
        return {int(path.stem) for path in (self.folder / "parts").glob("[0-9]*.json")}

    def read(self, number: int) -> P:
        """The record of a part; raises InputError if it or a shard of it is damaged."""
        path = self.record_path(number)
        try:
            part = self.record.from_json(json.loads(path.read_text(encoding="utf-8")))
            for shard in part.shards.values():
                file = self.dataset / shard.file
                if file.stat().st_size != shard.bytes:
                    raise ValueError(f"{file} was {shard.bytes} bytes")
                with pa.ipc.open_stream(pa.memory_map(str(file))) as stream:
                    rows = sum(batch.num_rows for batch in stream)
                if rows != shard.tally.rows or part.number != number:
                    raise ValueError(f"{file} had {shard.tally.rows} rows")
        except (OSError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
            raise InputError(f"{path} is damaged ({error}): run it again") from None
        return part

    def _drop_damaged(self) -> int:
        """Forget the parts that are not whole any more, so that they are made again."""
        dropped = 0
        for number in self.finished():
            try:
                self.read(number)
            except InputError:
                self.record_path(number).unlink()
                dropped += 1
        return dropped

    def remove(self) -> None:
        """Remove it whole; who still works in it finds that it is gone."""
        old = self.folder.with_name(f".{self.target.resolve().name}.{uuid.uuid4().hex[:8]}.old")
        self.folder.rename(old)
        shutil.rmtree(old, ignore_errors=True)


def _lock(file: IO[str], kind: int, *, without: bool = True) -> bool:
    """Whether the lock could be had; `without`: what to say on a file system without locks."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return without
    return True


def _as_json(identity: Mapping[str, Any]) -> Any:
    """As it comes back from a file: tuples as lists."""
    return json.loads(json.dumps(dict(identity)))


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def order_of_parts(parts: int, rank: int, ranks: int) -> list[int]:
    """A rank's own parts (number modulo ranks), then the others' from the end.

    So a slow or dead rank holds up nobody. Two that make the same part write the same, and the
    second changes nothing.
    """
    mine = list(range(rank, parts, ranks))
    return mine + [number for number in reversed(range(parts)) if number % ranks != rank]
