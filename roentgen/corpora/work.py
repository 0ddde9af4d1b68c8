"""A corpus's items read by several processes, in order and in bounded memory."""

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any

from roentgen.corpora.reader import CorpusReader
from roentgen.data.radiograph import Radiograph
from roentgen.errors import InputError

_CHUNK = 8  # items a process takes at a time
_AHEAD = 4  # chunks a process may be ahead of the writer


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of an item: its radiographs, or the reason why there are none."""

    id: str
    radiographs: tuple[Radiograph, ...] = ()
    reason: str | None = None


def item_id(item: Any) -> str:
    """An item is its id, or has one."""
    return item if isinstance(item, str) else str(item.id)


def read_items(reader: CorpusReader, items: Sequence[Any]) -> list[Outcome]:
    """The outcome of each item; a bad one does not end the work."""
    outcomes = []
    for item in items:
        try:
            radiographs = tuple(reader.read(item))
        except InputError as error:
            outcomes.append(Outcome(id=item_id(item), reason=str(error)))
        else:
            outcomes.append(Outcome(id=item_id(item), radiographs=radiographs))
    return outcomes


def outcomes(reader: CorpusReader, items: Sequence[Any], workers: int) -> Iterator[Outcome]:
    """The outcome of every item in order, the same whatever the number of processes."""
    chunks = (items[i : i + _CHUNK] for i in range(0, len(items), _CHUNK))
    if workers == 1:
        for chunk in chunks:
            yield from read_items(reader, chunk)
        return
    context = multiprocessing.get_context("forkserver")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_die_with_parent)
    waiting: deque[Future[list[Outcome]]] = deque()
    try:
        for chunk in chunks:
            waiting.append(pool.submit(read_items, reader, chunk))
            if len(waiting) >= workers * _AHEAD:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _die_with_parent() -> None:
    """A killed program leaves no worker behind: a worker waits for its queue for ever otherwise."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
