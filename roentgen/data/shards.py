"""One shard: an Arrow stream file of radiographs, written whole or not at all, and its tally."""

import os
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from roentgen.data import schema
from roentgen.data.findings import states
from roentgen.data.radiograph import Radiograph

_BATCH_ROWS = 100  # rows that one read of metadata touches together
_BATCH_BYTES = 16_000_000


@dataclass
class Tally:
    """What a run of radiographs holds; tallies of shards add up to that of the dataset."""

    rows: int = 0
    digests: int = 0  # sum of the rows' digests modulo 2**256
    views: Counter[str] = field(default_factory=Counter)
    findings: Counter[tuple[str, str]] = field(default_factory=Counter)  # (name, state)
    structures: Counter[str] = field(default_factory=Counter)
    sources: Counter[tuple[str, str]] = field(default_factory=Counter)  # (source, licence)

    def add(self, radiograph: Radiograph) -> None:
        """Count one radiograph."""
        self.rows += 1
        self.digests = (self.digests + schema.digest(radiograph)) % (1 << 256)
        self.views[radiograph.view or "unknown"] += 1
        self.findings.update(states(radiograph.findings).items())
        self.structures.update(radiograph.masks.keys())
        self.sources[radiograph.source, radiograph.license] += 1

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            rows=self.rows + other.rows,
            digests=(self.digests + other.digests) % (1 << 256),
            views=self.views + other.views,
            findings=self.findings + other.findings,
            structures=self.structures + other.structures,
            sources=self.sources + other.sources,
        )


class ShardWriter:
    """Writes one shard file from radiographs in constant memory.

    The file has its name only once it is whole: it is written as `.<name>.part`, flushed to the
    disk and renamed by `close`; an error inside the `with` block removes it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tally = Tally()
        self.bytes = 0
        self._rows: list[dict[str, Any]] = []
        self._row_bytes = 0
        self._part = path.with_name(f".{path.name}.part")
        self._file = self._part.open("wb")
        self._schema = schema.arrow_schema()
        self._stream = pa.ipc.new_stream(self._file, self._schema)

    def add(self, radiograph: Radiograph) -> None:
        """Append one radiograph."""
        self.tally.add(radiograph)
        self._rows.append(schema.to_row(radiograph))
        self._row_bytes += len(radiograph.image) + sum(map(len, radiograph.masks.values()))
        if len(self._rows) >= _BATCH_ROWS or self._row_bytes >= _BATCH_BYTES:
            self._write_batch()

    def _write_batch(self) -> None:
        if self._rows:
            self._stream.write_batch(pa.RecordBatch.from_pylist(self._rows, self._schema))
        self.bytes += self._row_bytes
        self._rows, self._row_bytes = [], 0

    def close(self) -> None:
        """Make the shard whole under its name."""
        self._write_batch()
        self._stream.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._part.replace(self.path)

    def discard(self) -> None:
        """Remove what was written so far."""
        self._rows = []
        with suppress(OSError):  # a full disk refuses the last bytes again
            self._file.close()
        self._part.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()
