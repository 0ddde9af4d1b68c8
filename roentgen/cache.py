"""Cache of many items' tensors on disk, encoded once by all processes and verified when opened.

A folder of safetensors shards. The header of each has the cache's key and the SHA-256 of its
tensors, and shards are written atomically: runs may share a folder, even start it at the same time,
and a damaged shard is found and encoded again alone. Shards are memory-mapped, so memory does not
grow with the number of items.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from roentgen.distributed import Processes
from roentgen.errors import InputError
from roentgen.storage import remove_partials, write_file
from roentgen.terminal.progress import Progress

SHARD_BYTES = 2**26  # about 67 MB: verified in 50 ms, encoded again in a minute or two
THREADS = 8  # of verification; hashing releases the GIL

_ENTRY = "key, items, number, sha256"  # of a shard's header

Encode = Callable[[range], Mapping[str, Tensor]]


@dataclass(frozen=True, kw_only=True)
class CacheContents:
    """Key, number and tensors of a cache's items; the same key must mean the same tensors."""

    key: str  # of everything that the tensors depend on
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
        """Items of a full shard."""
        return max(1, min(1024, SHARD_BYTES // self.item_bytes))


class Cache:
    """An open cache; floating-point tensors are read as float32."""

    def __init__(self, folder: Path, contents: CacheContents) -> None:
        self._each = contents.shard_items
        self._shards = []
        for number in range(len(contents.shards())):
            with safe_open(folder / _name(number), framework="pt") as file:  # mapped, not read
                self._shards.append({name: file.get_tensor(name) for name in contents.tensors})

    def read(self, name: str, items: Sequence[int]) -> Tensor:
        """The tensor of that name of these items, [N, ...]."""
        places = [divmod(int(item), self._each) for item in items]
        read = torch.stack([self._shards[shard][name][i] for shard, i in places])
        return read.float() if read.is_floating_point() else read


def open_cache(
    folder: Path,
    contents: CacheContents,
    encode: Encode,
    *,
    label: str,
    chunk: int,
    name_of: Callable[[int], str],
    processes: Processes,
) -> Cache:
    """Open a cache after each process has verified its share of the shards and encoded the missing.

    `encode` returns the tensors of a range of at most `chunk` items; `label` is for the progress
    bar. Raises InputError for non-finite values, with the item named by `name_of`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if processes.is_main_process:
        remove_partials(folder)
    rank, ranks = processes.process_index, processes.num_processes
    # Fixed shares: shards that another process finishes in the meantime change nothing.
    mine = list(enumerate(contents.shards()))[rank::ranks]
    with ThreadPoolExecutor(THREADS) as pool:
        intact = list(pool.map(lambda shard: _is_intact(folder, contents, *shard), mine))
        missing = [shard for shard, is_intact in zip(mine, intact, strict=True) if not is_intact]
    for number, _ in missing:
        if (folder / _name(number)).exists():
            print(f"{folder / _name(number)} is damaged: it is encoded again")  # noqa: T201
    if missing and not os.access(folder, os.W_OK):
        raise InputError(
            f"{folder} lacks {len(missing)} of its {len(contents.shards())} shards and is not "
            "writable: choose another folder for caches"
        )
    total = sum(len(items) for _, items in missing)
    is_visible = processes.is_local_main_process and total > 0
    with Progress(total, f"encode {label}", "item", shown=is_visible) as bar:
        for number, items in missing:
            if not _is_intact(folder, contents, number, items):  # unless another run was quicker
                tensors = _encode(contents, encode, items, chunk, name_of, bar)
                _write(folder / _name(number), tensors, _header(contents, number, tensors))
    processes.wait_for_everyone()  # shards that others encoded are read here too
    return Cache(folder, contents)


def missing_items(folder: Path, contents: CacheContents) -> int:
    """The number of items whose shards are absent; shards that are present may be damaged."""
    shards = enumerate(contents.shards())
    return sum(len(items) for number, items in shards if not (folder / _name(number)).exists())


def _name(number: int) -> str:
    return f"shard-{number:05d}.safetensors"


def _header(contents: CacheContents, number: int, tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """The header of a shard: one entry, as safetensors does not keep the order of several."""
    return {_ENTRY: json.dumps([contents.key, contents.items, number, _digest(tensors)])}


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of tensors: their names, types, shapes and values."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name}{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def shard_damage(path: Path) -> list[str]:
    """What is wrong with a shard of a cache whose folder's name ends with its key, a line."""
    try:
        with safe_open(path, framework="pt") as file:
            key, _, number, digest = json.loads(file.metadata()[_ENTRY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return [f"{path.name} cannot be read"]
    if path.name != _name(number) or not path.absolute().parent.name.endswith(key):
        return [f"{path.name} is shard {number} of cache {key}"]
    return [] if _digest(tensors) == digest else [f"{path.name} has changed since it was written"]


def _is_intact(folder: Path, contents: CacheContents, number: int, items: range) -> bool:
    """Whether a shard is present, belongs to this cache and holds the bytes that were written."""
    try:
        with safe_open(folder / _name(number), framework="pt") as file:
            header = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, TypeError, ValueError):
        return False
    found = {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}
    expected = {n: (dtype, (len(items), *shape)) for n, (dtype, shape) in contents.tensors.items()}
    return found == expected and header == _header(contents, number, tensors)


def _encode(
    contents: CacheContents,
    encode: Encode,
    items: range,
    chunk: int,
    name_of: Callable[[int], str],
    bar: Progress,
) -> dict[str, Tensor]:
    """The tensors of a shard, contiguous, on the CPU."""
    size = len(items)
    tensors = {n: torch.empty(size, *shape, dtype=d) for n, (d, shape) in contents.tensors.items()}
    for first in range(0, size, chunk):
        these = items[first : first + chunk]
        for name, values in encode(these).items():
            values = values.to("cpu", tensors[name].dtype)
            finite = values.isfinite().reshape(len(these), -1).all(dim=1)
            if not finite.all():
                item = these[int(finite.logical_not().nonzero()[0])]
                raise InputError(
                    f"{name_of(item)}: {name!r} is not finite; the item or the model that encodes "
                    "it is broken"
                )
            tensors[name][first : first + len(these)] = values
        bar.update(len(these))
    return tensors


def _write(path: Path, tensors: dict[str, Tensor], header: dict[str, str]) -> None:
    """Write a shard atomically, even if another process writes the same one."""
    write_file(path, save(tensors, metadata=header))
