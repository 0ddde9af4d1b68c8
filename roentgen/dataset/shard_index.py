"""Index of a shard: where its record batches are and what they held when they were written."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from roentgen.checksums import FileSum, checksum

INDEX = "index.json"  # of a split: the indices of its shards


@dataclass(frozen=True, kw_only=True)
class BatchIndex:
    """One record batch of a shard."""

    start: int  # byte of the shard
    bytes: int
    rows: int
    checksum: str  # of all bytes but the pixels
    pixels: Sequence[Sequence[int]]  # (first byte of the batch, bytes) of the images and the masks
    images: str  # checksum of each row's image, 16 hexadecimal digits a row
    masks: str  # the same of each row's masks, one after the other


@dataclass(frozen=True, kw_only=True)
class ShardIndex:
    """The index of one shard file."""

    file: str  # below the dataset folder
    bytes: int
    checksum: str  # of the whole file
    frame: str  # checksum of the bytes before and after the batches
    batches: Sequence[BatchIndex]

    @property
    def sum(self) -> FileSum:
        """Size and checksum of the file."""
        return FileSum(self.bytes, self.checksum)

    def to_json(self) -> dict[str, Any]:
        """Plain values that JSON holds."""
        return asdict(self)

    @staticmethod
    def from_json(plain: Mapping[str, Any]) -> "ShardIndex":
        """The inverse of `to_json`; raises KeyError or TypeError for anything else."""
        batches = tuple(BatchIndex(**batch) for batch in plain["batches"])
        return ShardIndex(**{**plain, "batches": batches})


class Pixels:
    """The encoded images, or masks, of the rows of a batch; nothing is copied."""

    def __init__(self, encoded: pa.BinaryArray, first: NDArray[np.int32] | None = None) -> None:
        """`first`: the number of each row's first element and, at the end, of all elements."""
        _, offsets, values = encoded.buffers()
        self.values: pa.Buffer = values or pa.py_buffer(b"")
        self._view = memoryview(self.values)
        ends = np.frombuffer(offsets, np.int32) if len(encoded) else np.zeros(1, np.int32)
        self._ends: list[int] = (ends if first is None else ends[first]).tolist()

    def __getitem__(self, row: int) -> memoryview:
        """The bytes of one row."""
        return self._view[self._ends[row] : self._ends[row + 1]]

    def checksum(self, row: int) -> int:
        """Checksum of the bytes of one row."""
        return int(xxhash.xxh3_64_intdigest(self[row]))


def pixels_of(batch: pa.RecordBatch) -> tuple[Pixels, Pixels]:
    """The images and the masks of a batch that is read from a shard."""
    images = Pixels(batch.column("image").field("bytes"))
    if "masks" not in batch.schema.names:  # of an older version
        return images, Pixels(pa.array([], pa.binary()), np.zeros(len(batch) + 1, np.int32))
    masks = batch.column("masks")
    encoded = masks.values.field("image").field("bytes")
    # Arrow's own to_numpy would import pandas.
    return images, Pixels(encoded, np.frombuffer(masks.offsets.buffers()[1], np.int32))


def describe_batch(message: pa.Buffer, schema: pa.Schema, start: int) -> BatchIndex:
    """The index of a serialized record batch that begins at a byte of its shard."""
    batch = pa.ipc.read_record_batch(message, schema)
    both = pixels_of(batch)
    ranges = [(one.values.address - message.address, one.values.size) for one in both]
    ranges = [(first if size else 0, size) for first, size in ranges]
    images, masks = (
        "".join(f"{one.checksum(row):016x}" for row in range(batch.num_rows)) for one in both
    )
    return BatchIndex(
        start=start,
        bytes=message.size,
        rows=batch.num_rows,
        checksum=checksum_without(message, ranges),
        pixels=ranges,
        images=images,
        masks=masks,
    )


def checksum_without(message: pa.Buffer, ranges: Sequence[Sequence[int]]) -> str:
    """Checksum of a serialized batch but for these ranges (first byte, bytes)."""
    view, pieces, end = memoryview(message), [], 0
    for first, size in sorted(map(tuple, ranges)):
        pieces.append(view[end:first])
        end = first + size
    return checksum(*pieces, view[end:])
