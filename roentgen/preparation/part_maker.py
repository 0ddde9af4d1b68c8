"""A corpus's items made into parts, in an order that lets many processes and machines share them.

Every rank makes its own parts first (number modulo ranks), then those of the others that are still
missing, from the end: a slow or dead rank holds up nobody. Two that make the same part write the
same bytes, and the second changes nothing.
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

from roentgen.corpora.reader import CorpusPlan, CorpusReader, Exclusion, Unmapped, UnwantedError
from roentgen.dataset.finalize import SPLITS
from roentgen.dataset.shards import ShardWriter
from roentgen.dataset.work_folder import Shard, order_of_parts, shard_file
from roentgen.errors import InputError
from roentgen.preparation.part_record import (
    PART_ITEMS,
    PreparationFolder,
    PreparedPart,
    TokenCounts,
)
from roentgen.preparation.postprocess import Finish
from roentgen.record.radiograph import Radiograph

READING = "item"  # a file that says which item of which part is being read
_DEADLY = "reading it ended the process: memory ran out, or its decoder cannot bear it"


class Job(NamedTuple):
    """One part to make."""

    number: int
    items: Sequence[Any]
    shown: frozenset[int]  # places of the contact sheet among the items


@dataclass(frozen=True, kw_only=True)
class PartMaker:
    """Makes parts; it goes to every worker process once."""

    work: PreparationFolder
    reader: CorpusReader
    finish: Finish
    deadly: frozenset[str] = frozenset()  # ids of items that end the process that reads them
    stop: c_byte | None = None  # 1 when the run ends early

    def make(self, number: int, items: Sequence[Any], shown: frozenset[int]) -> PreparedPart | None:
        """One part; None if somebody else has made it. `shown`: places of the contact sheet.

        The shards are renamed and the record written once all of them are on the disk.
        """
        return self.work.make(number, lambda making: self._write(making, number, items, shown))

    def _write(
        self, folder: Path, number: int, items: Sequence[Any], shown: frozenset[int]
    ) -> PreparedPart:
        excluded: list[Exclusion] = []
        unmapped: Counter[Unmapped] = Counter()
        places: list[tuple[str, int]] = []
        lengths: TokenCounts = {}
        due = 0  # for the contact sheet: who is excluded hands the place on
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
                due += place in shown
                for at, radiograph in enumerate(radiographs):
                    split = radiograph.split
                    assert split in SPLITS, split
                    if split not in writers:
                        writer = ShardWriter(folder / f"{split}.arrow")
                        writers[split] = stack.enter_context(writer)
                    if due and at == place % len(radiographs):
                        places.append((split, writers[split].tally.rows))
                        due -= 1
                    writers[split].add(radiograph)
                self.finish.count_tokens(radiographs, lengths)
        shards: dict[str, Shard] = {
            split: Shard.of(writers[split], shard_file(split, number))
            for split in SPLITS
            if split in writers
        }
        return PreparedPart(
            number=number,
            items=len(items),
            shards=shards,
            excluded=tuple(excluded),
            unmapped=unmapped,
            shown=tuple(places),
            lengths=lengths,
        )

    def read(self, item: Any, excluded: list[Exclusion]) -> list[Radiograph | Unmapped]:
        """What comes in of an item; the other radiographs go to `excluded`."""
        if item_id(item) in self.deadly:
            excluded.append(Exclusion(id=item_id(item), reason=_DEADLY))
            return []
        try:
            read = self.reader.read(item)
        except InputError as error:
            expected = isinstance(error, UnwantedError)
            excluded.append(Exclusion(id=item_id(item), reason=str(error), expected=expected))
            return []
        finished = [self.finish(one) if isinstance(one, Radiograph) else one for one in read]
        excluded += [one for one in finished if isinstance(one, Exclusion)]
        return [one for one in finished if not isinstance(one, Exclusion)]


def item_id(item: Any) -> str:
    """An item is its id, or has one."""
    return item if isinstance(item, str) else str(item.id)


def missing_parts(
    work: PreparationFolder, items: Sequence[Any], shown: frozenset[int], rank: int, ranks: int
) -> Iterator[Job]:
    """The parts that are not there yet when their turn comes, in a rank's order."""
    for number in order_of_parts(count_parts(len(items)), rank, ranks):
        if not work.record_path(number).exists():
            first = number * PART_ITEMS
            mine = range(first, min(first + PART_ITEMS, len(items)))
            places = frozenset(place - first for place in shown if place in mine)
            yield Job(number, items[mine.start : mine.stop], places)


def by_split(plan: CorpusPlan) -> CorpusPlan:
    """The plan with its items in the order of their splits, where they name them.

    So most parts are of one split, and a small split does not lie in many small shards.
    """
    order: dict[Any, int] = {split: place for place, split in enumerate(SPLITS)}
    items = sorted(plan.items, key=lambda item: order.get(getattr(item, "split", None), 0))
    return plan._replace(items=items)


def fingerprint_of_plan(plan: CorpusPlan) -> str:
    """Hexadecimal digits that stand for all items and what was excluded."""
    digest = hashlib.sha256()
    for values in (plan.items, plan.excluded, sorted(plan.unmapped.items())):
        for value in values:
            digest.update(f"{value!r}\x1e".encode(errors="surrogatepass"))
        digest.update(b"\x1d")
    return digest.hexdigest()[:16]


def count_parts(items: int) -> int:
    """Into how many parts so many items are cut."""
    return -(-items // PART_ITEMS)
