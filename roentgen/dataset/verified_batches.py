"""Verified batches: the record batches of shards, compared with their index before they are parsed.

An Arrow stream of which one bit has flipped can end the process that parses it. So all bytes of a
batch but the pixels are verified when it is first read, and the pixels of a row when they are read.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from roentgen.checksums import checksum
from roentgen.dataset import schema
from roentgen.dataset.shard_index import BatchIndex, Pixels, ShardIndex, checksum_without, pixels_of
from roentgen.errors import InputError
from roentgen.record.radiograph import Radiograph


class VerifiedPixels:
    """The images, or the masks, of a batch; each row is verified when it is first read."""

    def __init__(self, pixels: Pixels, digits: str) -> None:
        """`digits`: the checksums of all rows, 16 hexadecimal digits each."""
        self._pixels = pixels
        self._expected: list[int] = np.frombuffer(bytes.fromhex(digits), ">u8").tolist()
        self._is_verified = bytearray(len(self._expected))

    def is_intact(self, row: int) -> bool:
        """Whether the bytes of a row are as they were written."""
        if not self._is_verified[row]:
            self._is_verified[row] = self._pixels.checksum(row) == self._expected[row]
        return bool(self._is_verified[row])

    def __getitem__(self, row: int) -> memoryview:
        """The bytes of a row, whether they are intact or not."""
        return self._pixels[row]


class VerifiedBatch:
    """A record batch whose bytes, but the pixels, are as they were written."""

    def __init__(self, batch: pa.RecordBatch, index: BatchIndex, place: str) -> None:
        self.plain = batch
        self._place = place
        images, masks = pixels_of(batch)
        self._images = VerifiedPixels(images, index.images)
        self._masks = VerifiedPixels(masks, index.masks)

    def image(self, row: int) -> memoryview:
        """The encoded image of a row. Raises InputError if it is damaged."""
        if not self._images.is_intact(row):
            raise self._damaged(row, "another image")
        return self._images[row]

    def check_pixels(self, row: int) -> None:
        """Raises InputError if the image or the masks of a row are damaged."""
        self.image(row)
        if not self._masks.is_intact(row):
            raise self._damaged(row, "other masks")

    def _damaged(self, row: int, what: str) -> InputError:
        name = self.plain.column("id")[row].as_py()
        return InputError(
            f"{self._place} is damaged: radiograph {name!r} has {what} than was written; make the "
            "dataset again"
        )


class VerifiedBatches(Sequence[VerifiedBatch]):
    """The batches of shards below a dataset folder, memory-mapped, each read when it is used."""

    def __init__(self, folder: Path, shards: Sequence[ShardIndex]) -> None:
        self._folder = folder
        self._shards = shards
        self._places = [(shard, batch) for shard in shards for batch in shard.batches]
        self._ends = list(accumulate(batch.rows for _, batch in self._places))
        self._mapped: dict[str, tuple[pa.Buffer, pa.Schema]] = {}
        self._read: dict[int, VerifiedBatch] = {}

    @property
    def rows(self) -> int:
        """The number of rows of all batches."""
        return self._ends[-1] if self._ends else 0

    @property
    def ends(self) -> Sequence[int]:
        """The number of rows up to the end of each batch."""
        return self._ends

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, number: int) -> VerifiedBatch:  # type: ignore[override]
        """A batch. Raises InputError if it is damaged."""
        found = self._read.get(number)
        if found is None:
            if number >= len(self):
                raise IndexError(number)
            found = self._read[number] = self._load(*self._places[number])
        return found

    def locate(self, row: int) -> tuple[VerifiedBatch, int]:
        """The batch of a row, and its place there. Raises InputError if it is damaged."""
        number = bisect_right(self._ends, row)
        return self[number], row - (self._ends[number - 1] if number else 0)

    def radiograph(self, row: int) -> Radiograph:
        """The radiograph of a row. Raises InputError if it is damaged."""
        batch, place = self.locate(row)
        batch.check_pixels(place)
        return schema.from_row(batch.plain.slice(place, 1).to_pylist()[0])

    def columns(self, *names: str) -> Iterator[tuple[Any, ...]]:
        """The values of some columns, row by row."""
        for batch in self:
            yield from zip(*(batch.plain.column(name).to_pylist() for name in names), strict=True)

    def _load(self, shard: ShardIndex, index: BatchIndex) -> VerifiedBatch:
        data, plain = self._mapped.get(shard.file) or self._map(shard)
        message = data.slice(index.start, index.bytes)
        place = self._folder / shard.file
        if checksum_without(message, index.pixels) != index.checksum:
            rows = f"in bytes {index.start} to {index.start + index.bytes}"
            raise _damaged(place, f"it has changed since it was written, {rows}")
        batch = schema.complete(pa.ipc.read_record_batch(message, plain))
        return VerifiedBatch(batch, index, str(place))

    def _map(self, shard: ShardIndex) -> tuple[pa.Buffer, pa.Schema]:
        """The bytes of a shard and its schema."""
        path = self._folder / shard.file
        try:
            data = pa.memory_map(str(path)).read_buffer()
        except OSError as error:
            raise _damaged(path, str(error)) from None
        if data.size != shard.bytes:
            raise _damaged(path, f"it has {data.size} bytes, not {shard.bytes}")
        if frame_checksum(data, shard.batches) != shard.frame:
            raise _damaged(path, "it has changed since it was written, before its first row")
        plain = pa.ipc.read_schema(data)
        if not schema.is_readable(plain):
            raise InputError(f"{path} has other columns than expected")
        self._mapped[shard.file] = data, plain
        return data, plain


def frame_checksum(data: pa.Buffer, batches: Sequence[BatchIndex]) -> str:
    """Checksum of the bytes of a shard before and after its batches."""
    view = memoryview(data)
    start, end = (batches[0].start, batches[-1].start + batches[-1].bytes) if batches else (0, 0)
    return checksum(view[:start], view[end:])


def _damaged(path: Path, why: str) -> InputError:
    return InputError(f"{path} is damaged: {why}; make the dataset again")
