"""A corpus's items made into parts by several processes, on one machine or many.

Every rank makes its own parts first (number modulo ranks), then those of the others that are still
missing, from the end: a slow or dead rank holds up nobody. Two that make the same part write the
same bytes, and the second changes nothing.
"""

import hashlib
import multiprocessing
import os
import shutil
import threading
import uuid
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from roentgen.corpora.finish import Finish
from roentgen.corpora.parts import PART_ITEMS, Part, Shard, TokenCounts, WorkFolder
from roentgen.corpora.reader import CorpusReader, LeftOut, Plan
from roentgen.corpora.scan import UnwantedError
from roentgen.data.radiograph import Radiograph
from roentgen.data.seal import SPLITS
from roentgen.data.shards import ShardWriter
from roentgen.errors import InputError
from roentgen.runs import write_json

_READING = "item"  # a file with the id of the item that is being read
_AHEAD = 2  # parts a process may have before it


@dataclass(frozen=True, kw_only=True)
class PartMaker:
    """Makes parts; it goes to every worker process once."""

    work: WorkFolder
    reader: CorpusReader
    finish: Finish

    def make(self, number: int, items: Sequence[Any], shown: frozenset[int]) -> Part | None:
        """One part; None if somebody else has made it. `shown`: places of the contact sheet.

        The shards are renamed and the record written once all of them are on the disk.
        """
        if self.work.record_path(number).exists():
            return None
        making = self.work.making / uuid.uuid4().hex
        try:
            making.mkdir()
            part = self._write(making, number, items, shown)
            for split, shard in part.shards.items():
                (self.work.dataset / split).mkdir(exist_ok=True)
                (making / f"{split}.arrow").replace(self.work.dataset / shard.file)
            write_json(self.work.record_path(number), part.to_json())
        except FileNotFoundError:
            if self.work.dataset.exists():
                raise
            return None  # another rank made it and has finished the dataset
        finally:
            shutil.rmtree(making, ignore_errors=True)
        return part

    def _write(
        self, folder: Path, number: int, items: Sequence[Any], shown: frozenset[int]
    ) -> Part:
        left_out: list[LeftOut] = []
        places: list[tuple[str, int]] = []
        lengths: TokenCounts = {}
        with ExitStack() as stack:
            writers: dict[str, ShardWriter] = {}
            for place, item in enumerate(items):
                if _stop is not None and _stop.is_set():
                    raise InterruptedError("the run has ended")
                (folder / _READING).write_text(item_id(item), encoding="utf-8")
                radiographs = list(self._read(item, left_out))
                for at, radiograph in enumerate(radiographs):
                    split = radiograph.split
                    assert split in SPLITS, split
                    if split not in writers:
                        writer = ShardWriter(folder / f"{split}.arrow")
                        writers[split] = stack.enter_context(writer)
                    if place in shown and at == place % len(radiographs):
                        places.append((split, writers[split].tally.rows))
                    writers[split].add(radiograph)
                self.finish.count_tokens(radiographs, lengths)
        shards: dict[str, Shard] = {
            split: Shard(
                file=f"{split}/data-{number:05d}.arrow",
                bytes=writers[split].path.stat().st_size,
                tally=writers[split].tally,
            )
            for split in SPLITS
            if split in writers
        }
        return Part(
            number=number,
            items=len(items),
            shards=shards,
            left_out=tuple(left_out),
            shown=tuple(places),
            lengths=lengths,
        )

    def _read(self, item: Any, left_out: list[LeftOut]) -> Iterator[Radiograph]:
        """The radiographs of an item that come in; the others go to `left_out`."""
        try:
            radiographs = self.reader.read(item)
        except InputError as error:
            asked = isinstance(error, UnwantedError)
            left_out.append(LeftOut(id=item_id(item), reason=str(error), asked=asked))
            return
        for radiograph in radiographs:
            finished = self.finish(radiograph)
            if isinstance(finished, LeftOut):
                left_out.append(finished)
            else:
                yield finished


def item_id(item: Any) -> str:
    """An item is its id, or has one."""
    return item if isinstance(item, str) else str(item.id)


def make_parts(
    maker: PartMaker,
    items: Sequence[Any],
    shown: frozenset[int],
    *,
    workers: int,
    rank: int = 0,
    ranks: int = 1,
) -> Generator[Part, None, None]:
    """The parts that this rank makes, as they are finished; afterwards none is missing."""

    def jobs() -> Iterator[tuple[int, Sequence[Any], frozenset[int]]]:
        for number in order_of_parts(count_parts(len(items)), rank, ranks):
            if not maker.work.record_path(number).exists():
                first = number * PART_ITEMS
                mine = range(first, min(first + PART_ITEMS, len(items)))
                yield (
                    number,
                    items[mine.start : mine.stop],
                    frozenset(place - first for place in shown if place in mine),
                )

    if workers == 1:
        for job in jobs():
            part = maker.make(*job)
            if part is not None:
                yield part
        return
    context = multiprocessing.get_context("forkserver")
    stop = context.Event()
    pool = ProcessPoolExecutor(
        workers, mp_context=context, initializer=_start_worker, initargs=(maker, stop)
    )
    waiting: set[Future[Part | None]] = set()
    try:
        for job in jobs():
            waiting.add(pool.submit(_make, *job))
            if len(waiting) >= workers * _AHEAD:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (part for part in (future.result() for future in done) if part)
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            yield from (part for part in (future.result() for future in done) if part)
    except BrokenProcessPool:
        reading = maker.work.making.glob(f"*/{_READING}")
        suspects = ", ".join(sorted(path.read_text(encoding="utf-8") for path in reading))
        raise InputError(
            f"a worker process died while it read one of: {suspects or 'nothing'}; if memory ran "
            "out, set workers lower; if the file is to blame, remove it; start again to go on"
        ) from None
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def by_split(plan: Plan) -> Plan:
    """The plan with its items in the order of their splits, where they name them.

    So most parts are of one split, and a small split does not lie in many small shards.
    """
    order: dict[Any, int] = {split: place for place, split in enumerate(SPLITS)}
    items = sorted(plan.items, key=lambda item: order.get(getattr(item, "split", None), 0))
    return plan._replace(items=items)


def fingerprint_of_plan(plan: Plan) -> str:
    """Hexadecimal digits that stand for all items and what was left out."""
    digest = hashlib.sha256()
    for values in (plan.items, plan.left_out, sorted(plan.unmapped.items())):
        for value in values:
            digest.update(f"{value!r}\x1e".encode(errors="surrogatepass"))
        digest.update(b"\x1d")
    return digest.hexdigest()[:16]


def meet() -> None:
    """Wait until all processes of a launch have planned and the first has opened the work folder.

    From then on they meet in its files only, so that one that lags or dies holds up nobody.
    """
    from accelerate import PartialState

    PartialState(cpu=True).wait_for_everyone()


def count_parts(items: int) -> int:
    """Into how many parts so many items are cut."""
    return -(-items // PART_ITEMS)


def order_of_parts(parts: int, rank: int, ranks: int) -> list[int]:
    """A rank's own parts, then the others' from the end."""
    mine = list(range(rank, parts, ranks))
    return mine + [number for number in reversed(range(parts)) if number % ranks != rank]


_maker: PartMaker | None = None  # a worker process's: sent once, not with every part
_stop: Event | None = None  # set when the run ends early


def _start_worker(maker: PartMaker, stop: Event) -> None:
    global _maker, _stop
    _maker, _stop = maker, stop
    _die_with_parent()


def _make(number: int, items: Sequence[Any], shown: frozenset[int]) -> Part | None:
    assert _maker is not None
    return _maker.make(number, items, shown)


def _die_with_parent() -> None:
    """A killed program leaves no worker behind: a worker waits for its queue for ever otherwise."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
