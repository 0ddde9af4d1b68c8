"""Shard: an Arrow stream file of radiographs, written atomically, with its index and counts."""

import os
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import xxhash

from roentgen.checksums import checksum
from roentgen.dataset import schema
from roentgen.dataset.shard_index import BatchIndex, ShardIndex, describe_batch
from roentgen.record.finding import states
from roentgen.record.radiograph import Radiograph

_PRIME = 2**255 - 19
_BASE = 1_000_003
_END = b"\xff\xff\xff\xff\0\0\0\0"  # of an Arrow stream
_BATCH_ROWS = 100  # rows that one read of metadata touches together
_BATCH_BYTES = 16_000_000


@dataclass
class RadiographCounts:
    """Counts of radiographs in their order; those of shards add up, in order, to the dataset's.

    `digests` is a polynomial in _BASE modulo _PRIME whose coefficients are the rows' digests: it
    depends on content and order, but not on where shards begin (Karp and Rabin 1987).
    """

    rows: int = 0
    digests: int = 0
    views: Counter[str] = field(default_factory=Counter)
    findings: Counter[tuple[str, str]] = field(default_factory=Counter)  # (name, state)
    statements: Counter[str] = field(default_factory=Counter)  # radiographs with any, by its source
    structures: Counter[str] = field(default_factory=Counter)  # of masks
    boxes: Counter[str] = field(default_factory=Counter)  # radiographs with a box, by structure
    sections: Counter[str] = field(default_factory=Counter)  # of reports
    sexes: Counter[str] = field(default_factory=Counter)  # where known, as ages and races
    ages: Counter[int] = field(default_factory=Counter)  # in whole years
    races: Counter[str] = field(default_factory=Counter)
    sources: Counter[tuple[str, str]] = field(default_factory=Counter)  # (source, license)

    def add(self, radiograph: Radiograph) -> None:
        """Count one radiograph."""
        self.rows += 1
        self.digests = (self.digests * _BASE + schema.digest(radiograph)) % _PRIME
        self.views[radiograph.view or "unknown"] += 1
        self.findings.update(states(radiograph.findings).items())
        self.statements.update({statement.source for statement in radiograph.statements})
        self.structures.update(radiograph.masks.keys())
        self.boxes.update({box.structure for box in radiograph.boxes})
        if radiograph.report is not None:
            self.sections.update(k for k, text in asdict(radiograph.report).items() if text)
        if radiograph.sex is not None:
            self.sexes[radiograph.sex] += 1
        if radiograph.age is not None:
            self.ages[int(radiograph.age)] += 1
        if radiograph.race is not None:
            self.races[radiograph.race] += 1
        self.sources[radiograph.source, radiograph.license] += 1

    def __add__(self, other: "RadiographCounts") -> "RadiographCounts":
        return RadiographCounts(
            rows=self.rows + other.rows,
            digests=(self.digests * pow(_BASE, other.rows, _PRIME) + other.digests) % _PRIME,
            views=self.views + other.views,
            findings=self.findings + other.findings,
            statements=self.statements + other.statements,
            structures=self.structures + other.structures,
            boxes=self.boxes + other.boxes,
            sections=self.sections + other.sections,
            sexes=self.sexes + other.sexes,
            ages=self.ages + other.ages,
            races=self.races + other.races,
            sources=self.sources + other.sources,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values that JSON holds."""
        pairs = {"findings": self.findings, "sources": self.sources}
        plain: dict[str, Any] = {
            name: dict(sorted(counter.items()))
            for name, counter in vars(self).items()
            if isinstance(counter, Counter) and name not in pairs
        }
        plain |= {name: [[*key, n] for key, n in sorted(c.items())] for name, c in pairs.items()}
        return plain | {"rows": self.rows, "digests": f"{self.digests:064x}"}

    @staticmethod
    def from_json(plain: Mapping[str, Any]) -> "RadiographCounts":
        """The inverse of `to_json`; raises KeyError, TypeError or ValueError for anything else."""
        return RadiographCounts(
            rows=plain["rows"],
            digests=int(plain["digests"], 16),
            views=Counter(plain["views"]),
            findings=Counter({(name, state): n for name, state, n in plain["findings"]}),
            statements=Counter(plain["statements"]),
            structures=Counter(plain["structures"]),
            boxes=Counter(plain["boxes"]),
            sections=Counter(plain["sections"]),
            sexes=Counter(plain["sexes"]),
            ages=Counter({int(age): n for age, n in plain["ages"].items()}),
            races=Counter(plain["races"]),
            sources=Counter({(source, terms): n for source, terms, n in plain["sources"]}),
        )


@dataclass(frozen=True, kw_only=True)
class Shard:
    """A finished shard file."""

    index: ShardIndex
    counts: RadiographCounts

    def to_json(self) -> dict[str, Any]:
        """Plain values that JSON holds."""
        return {"index": self.index.to_json(), "counts": self.counts.to_json()}

    @staticmethod
    def from_json(plain: Mapping[str, Any]) -> "Shard":
        """The inverse of `to_json`; raises KeyError, TypeError or ValueError for anything else."""
        return Shard(
            index=ShardIndex.from_json(plain["index"]),
            counts=RadiographCounts.from_json(plain["counts"]),
        )


class ShardWriter:
    """Writes one shard file from radiographs in constant memory.

    The file has its name only once it is complete: it is written as `.<name>.part`, flushed to the
    disk and renamed by `close`; an error inside the `with` block removes it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.counts = RadiographCounts()
        self.bytes = 0
        self._rows: list[dict[str, Any]] = []
        self._row_bytes = 0
        self._part = path.with_name(f".{path.name}.part")
        self._file = self._part.open("wb")
        self._written = 0
        self._digest = xxhash.xxh3_128()
        self._schema = schema.arrow_schema()
        self._head = self._schema.serialize()
        self._batches: list[BatchIndex] = []

    def add(self, radiograph: Radiograph) -> None:
        """Append one radiograph."""
        self.counts.add(radiograph)
        self._rows.append(schema.to_row(radiograph))
        self._row_bytes += len(radiograph.image) + sum(map(len, radiograph.masks.values()))
        if len(self._rows) >= _BATCH_ROWS or self._row_bytes >= _BATCH_BYTES:
            self._write_batch()

    def _write_batch(self) -> None:
        if not self._written:
            self._write(self._head)
        if self._rows:
            message = pa.RecordBatch.from_pylist(self._rows, self._schema).serialize()
            self._batches.append(describe_batch(message, self._schema, self._written))
            self._write(message)
        self.bytes += self._row_bytes
        self._rows, self._row_bytes = [], 0

    def _write(self, data: Any) -> None:
        self._file.write(data)
        self._digest.update(data)
        self._written += len(data)

    def shard(self, file: str) -> Shard:
        """The shard once it is closed; `file` is its path below the dataset folder."""
        index = ShardIndex(
            file=file,
            bytes=self._written,
            checksum=self._digest.hexdigest(),
            frame=checksum(self._head, _END),
            batches=tuple(self._batches),
        )
        return Shard(index=index, counts=self.counts)

    def close(self) -> None:
        """Complete the shard under its name."""
        self._write_batch()
        self._write(_END)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._part.replace(self.path)

    def discard(self) -> None:
        """Remove the unfinished file."""
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
        if kind is not None:
            self.discard()
            return
        try:
            self.close()
        except BaseException:
            self.discard()
            raise
