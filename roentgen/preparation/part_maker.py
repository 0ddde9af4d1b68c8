"""Maker of the parts of a corpus, in an order that processes and machines share.

Each rank makes its own parts first (number modulo ranks), then those of the others that are still
missing, from the end: a slow or dead rank delays no other. Two ranks that make the same part write
the same bytes, and the second changes nothing.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from ctypes import c_byte
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from roentgen.corpora.reader import CorpusPlan, CorpusReader, Exclusion, Unmapped
from roentgen.dataset.finalize import SPLITS
from roentgen.dataset.shards import Shard, ShardWriter
from roentgen.dataset.work_folder import order_of_parts, shard_file
from roentgen.errors import InputError, UnwantedError
from roentgen.preparation.part_record import (
    PART_ITEMS,
    PreparationFolder,
    PreparedPart,
    TokenCounts,
)
from roentgen.preparation.postprocess import Postprocessing
from roentgen.record.radiograph import Radiograph

READING = "item"  # file with the part and place of the item that is being read
_CRASHED = "reading it ended the process: memory ran out, or its decoder crashed"


class Job(NamedTuple):
    """One part to make."""

    number: int
    items: Sequence[Any]
    on_sheet: frozenset[int]  # places of the contact sheet among the items


@dataclass(frozen=True, kw_only=True)
class PartMaker:
    """Makes parts; it goes to every worker process once."""

    work: PreparationFolder
    reader: CorpusReader
    postprocess: Postprocessing
    crashing: frozenset[str] = frozenset()  # ids of items that end the process that reads them
    stop: c_byte | None = None  # 1 when the run ends early

    def make(
        self, number: int, items: Sequence[Any], on_sheet: frozenset[int]
    ) -> PreparedPart | None:
        """One part; None if another rank has made it. `on_sheet`: places of the contact sheet.

        The shards are renamed and the record written once all of them are on the disk.
        """
        return self.work.make(number, lambda making: self._write(making, number, items, on_sheet))

    def _write(
        self, folder: Path, number: int, items: Sequence[Any], on_sheet: frozenset[int]
    ) -> PreparedPart:
        excluded: list[Exclusion] = []
        unmapped: Counter[Unmapped] = Counter()
        light: Counter[str] = Counter()
        places: list[tuple[str, int]] = []
        lengths: TokenCounts = {}
        languages: Counter[str] = Counter()
        due = 0  # places of the contact sheet: an excluded item passes its place on
        with ExitStack() as stack:
            writers: dict[str, ShardWriter] = {}
            reading = stack.enter_context((folder / READING).open("wb", buffering=0))
            for place, item in enumerate(items):
                if self.stop is not None and self.stop.value:
                    raise InterruptedError("the run has ended")
                os.pwrite(reading.fileno(), f"{number} {place:6d}".encode(), 0)
                read = self.read(item, excluded)
                unmapped.update(one for one in read if isinstance(one, Unmapped))
                radiographs = [one for one in read if isinstance(one, Radiograph)]
                due += place in on_sheet
                for at, radiograph in enumerate(radiographs):
                    split = radiograph.split
                    assert split in SPLITS, split
                    if split not in writers:
                        writer = ShardWriter(folder / f"{split}.arrow")
                        writers[split] = stack.enter_context(writer)
                    if due and at == place % len(radiographs):
                        places.append((split, writers[split].counts.rows))
                        due -= 1
                    writers[split].add(radiograph)
                    light.update(radiograph.light)
                self.postprocess.count_tokens(radiographs, lengths)
                self.postprocess.count_languages(radiographs, languages)
        shards: dict[str, Shard] = {
            split: writers[split].shard(shard_file(split, number))
            for split in SPLITS
            if split in writers
        }
        return PreparedPart(
            number=number,
            items=len(items),
            shards=shards,
            excluded=tuple(excluded),
            unmapped=unmapped,
            light=light,
            on_sheet=tuple(places),
            lengths=lengths,
            languages=languages,
        )

    def read(self, item: Any, excluded: list[Exclusion]) -> list[Radiograph | Unmapped]:
        """The accepted radiographs of an item; the others go to `excluded`."""
        if item_id(item) in self.crashing:
            excluded.append(Exclusion(id=item_id(item), reason=_CRASHED))
            return []
        try:
            read = self.reader.read(item)
        except InputError as error:
            expected = isinstance(error, UnwantedError)
            excluded.append(Exclusion(id=item_id(item), reason=str(error), expected=expected))
            return []
        finished = [
            done
            for one in read
            for done in (self.postprocess(one) if isinstance(one, Radiograph) else [one])
        ]
        excluded += [one for one in finished if isinstance(one, Exclusion)]
        return [one for one in finished if not isinstance(one, Exclusion)]


def item_id(item: Any) -> str:
    """An item is its id, or has one."""
    return item if isinstance(item, str) else str(item.id)


def missing_parts(
    work: PreparationFolder, items: Sequence[Any], on_sheet: frozenset[int], rank: int, ranks: int
) -> Iterator[Job]:
    """The parts that are not there yet when their turn comes, in a rank's order."""
    for number in order_of_parts(count_parts(len(items)), rank, ranks):
        if not work.record_path(number).exists():
            first = number * PART_ITEMS
            mine = range(first, min(first + PART_ITEMS, len(items)))
            places = frozenset(place - first for place in on_sheet if place in mine)
            yield Job(number, items[mine.start : mine.stop], places)


def by_split(plan: CorpusPlan) -> CorpusPlan:
    """The plan with its items in the order of their splits, where they name them.

    So most parts are of one split, and a small split is not spread over many small shards.
    """
    order: dict[Any, int] = {split: place for place, split in enumerate(SPLITS)}
    items = sorted(plan.items, key=lambda item: order.get(getattr(item, "split", None), 0))
    return plan._replace(items=items)


def fingerprint_of_plan(plan: CorpusPlan) -> str:
    """Hexadecimal digits that identify all items and exclusions."""
    digest = hashlib.sha256()
    for values in (plan.items, plan.excluded, sorted(plan.unmapped.items())):
        for value in values:
            digest.update(f"{value!r}\x1e".encode(errors="surrogatepass"))
        digest.update(b"\x1d")
    return digest.hexdigest()[:16]


def count_parts(items: int) -> int:
    """The number of parts of so many items."""
    return -(-items // PART_ITEMS)
