"""Tensors of many items on disk: made once, by all processes, and verified whenever opened.

A folder of safetensors shards, each of which says in its header what it is part of and the SHA-256
of its tensors. A shard is whole or not there, and nothing stands beside it that could disagree: so
runs may share a folder, even begin it at once, and a damaged shard is found and made again alone.
Shards are memory-mapped: memory does not grow with the number of items.
"""

import hashlib
import json
import os
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from roentgen.distributed import Processes
from roentgen.errors import InputError

SHARD_BYTES = 2**26  # about 67 MB: verified in 50 ms, made again in a minute or two
THREADS = 8  # that verify; hashing leaves the interpreter free

ABANDONED = 24 * 3600  # seconds after which nobody goes on writing a file

Encode = Callable[[range], Mapping[str, Tensor]]


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a cache holds; the same key must mean the same tensors."""

    key: str  # of all that the tensors depend on
    items: int
    tensors: Mapping[str, tuple[torch.dtype, tuple[int, ...]]]  # of one item

    @property
    def item_bytes(self) -> int:
        """Bytes of one item's tensors."""
        return sum(
            torch.Size(shape).numel() * dtype.itemsize for dtype, shape in self.tensors.values()
        )

    def shards(self) -> list[range]:
        """The items of each shard."""
        each = self.shard_items
        return [range(i, min(i + each, self.items)) for i in range(0, self.items, each)]

    @property
    def shard_items(self) -> int:
        """Items of a whole shard."""
        return max(1, min(1024, SHARD_BYTES // self.item_bytes))


class Cache:
    """The tensors of all items, float32 where they are of floating point."""

    def __init__(self, folder: Path, contents: Contents) -> None:
        self._each = contents.shard_items
        self._shards = []
        for number in range(len(contents.shards())):
            with safe_open(folder / _name(number), framework="pt") as file:  # mapped, not read
                self._shards.append({name: file.get_tensor(name) for name in contents.tensors})

    def read(self, name: str, items: Sequence[int]) -> Tensor:
        """One of the tensors of these items, [N, ...]."""
        places = [divmod(int(item), self._each) for item in items]
        read = torch.stack([self._shards[shard][name][i] for shard, i in places])
        return read.float() if read.is_floating_point() else read


def open_cache(
    folder: Path,
    contents: Contents,
    encode: Encode,
    *,
    told: str,
    chunk: int,
    name_of: Callable[[int], str],
    processes: Processes,
) -> Cache:
    """Open a cache after each process has verified its share and made what is missing of it.

    `encode` gives the tensors of a range of at most `chunk` items; `told` says what is encoded.
    Raises InputError, with the item as `name_of` calls it, for values that are not finite.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if processes.is_main_process:
        _remove_abandoned(folder)
    rank, ranks = processes.process_index, processes.num_processes
    # Fixed shares: what another process has finished meanwhile changes nothing.
    mine = list(enumerate(contents.shards()))[rank::ranks]
    with ThreadPoolExecutor(THREADS) as pool:
        whole = pool.map(lambda shard: _is_whole(folder, contents, *shard), mine)
        missing = [shard for shard, is_whole in zip(mine, whole, strict=True) if not is_whole]
    for number, _ in missing:
        if (folder / _name(number)).exists():
            print(f"{folder / _name(number)} is damaged: it is made again")  # noqa: T201
    if missing and not os.access(folder, os.W_OK):
        raise InputError(
            f"{folder} lacks {len(missing)} of its {len(contents.shards())} shards and cannot be "
            "written to: choose another folder for caches"
        )
    total = sum(len(items) for _, items in missing)
    shown = processes.is_local_main_process and total > 0
    bar: tqdm[Any]
    with tqdm(total=total, desc=f"encode {told}", unit="item", disable=not shown) as bar:
        for number, items in missing:
            if not _is_whole(folder, contents, number, items):  # unless another run was quicker
                tensors = _encode(contents, encode, items, chunk, name_of, bar)
                _write(folder / _name(number), tensors, _header(contents, number, tensors))
    processes.wait_for_everyone()  # others made shards that are read here too
    return Cache(folder, contents)


def lacking(folder: Path, contents: Contents) -> int:
    """How many items' shards are not there; those that are may be damaged."""
    shards = enumerate(contents.shards())
    return sum(len(items) for number, items in shards if not (folder / _name(number)).exists())


def _name(number: int) -> str:
    return f"shard-{number:05d}.safetensors"


def _header(contents: Contents, number: int, tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """What a shard says of itself; one entry, for safetensors does not keep their order."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(tensors[name].flatten().view(torch.uint8).numpy().data)
    said = [contents.key, contents.items, number, digest.hexdigest()]
    return {"key, items, number, sha256": json.dumps(said)}


def _is_whole(folder: Path, contents: Contents, number: int, items: range) -> bool:
    """Whether a shard is there, is the one that is wanted, and holds what was written."""
    try:
        with safe_open(folder / _name(number), framework="pt") as file:
            header = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError):
        return False
    found = {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}
    wanted = {n: (dtype, (len(items), *shape)) for n, (dtype, shape) in contents.tensors.items()}
    return found == wanted and header == _header(contents, number, tensors)


def _encode(
    contents: Contents,
    encode: Encode,
    items: range,
    chunk: int,
    name_of: Callable[[int], str],
    bar: "tqdm[Any]",
) -> dict[str, Tensor]:
    """The tensors of a shard, contiguous, on the CPU."""
    size = len(items)
    tensors = {n: torch.empty(size, *shape, dtype=d) for n, (d, shape) in contents.tensors.items()}
    for first in range(0, size, chunk):
        part = items[first : first + chunk]
        for name, values in encode(part).items():
            values = values.to("cpu", tensors[name].dtype)
            finite = values.isfinite().reshape(len(part), -1).all(dim=1)
            if not finite.all():
                item = part[int(finite.logical_not().nonzero()[0])]
                raise InputError(
                    f"the {name} of {name_of(item)} is not finite: it or the model that encodes it "
                    "is broken"
                )
            tensors[name][first : first + len(part)] = values
        bar.update(len(part))
    return tensors


def _write(path: Path, tensors: dict[str, Tensor], header: dict[str, str]) -> None:
    """Write a shard whole or not at all, whoever else writes it."""
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        save_file(tensors, partial, metadata=header)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _remove_abandoned(folder: Path) -> None:
    """Remove what a kill left half written, but not what another run is writing now."""
    for partial in folder.glob(".*.partial"):
        with suppress(FileNotFoundError):  # done with meanwhile
            if time.time() - partial.stat().st_mtime > ABANDONED:
                partial.unlink()
