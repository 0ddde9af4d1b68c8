"""Worker processes that make parts. If one dies, the item it was reading is found and excluded.

The kernel kills a process when memory runs out, and a damaged file may crash its decoder.
"""

import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from multiprocessing import connection
from typing import Any

from roentgen.errors import InputError
from roentgen.preparation.part_maker import READING, Job, PartMaker, item_id, missing_parts
from roentgen.preparation.part_record import PreparationFolder, PreparedPart

_AHEAD = 2  # parts a process may have before it
_IMPORTED_ONCE = ["roentgen.config", "roentgen.preparation.config", "roentgen.preparation.assemble"]
_MOST_CRASHING = 16  # items that may end a process; more mean that memory is short anyway


def make_parts(
    maker: PartMaker,
    items: Sequence[Any],
    on_sheet: frozenset[int],
    *,
    workers: int,
    rank: int = 0,
    ranks: int = 1,
    report: Callable[[str], None] = print,
) -> Generator[PreparedPart, None, None]:
    """The parts that this rank makes, as they are finished; afterwards none is missing.

    One worker is this process itself. When one of several dies, each item that was being read is
    read once more, alone in a process: those that end it too are excluded. If none does, half as
    many workers continue, so that each has more memory. `report` gets a line about it. Raises
    InputError when neither helps.
    """

    def jobs() -> Iterator[Job]:
        return missing_parts(maker.work, items, on_sheet, rank, ranks)

    if workers == 1:
        for job in jobs():
            part = maker.make(*job)
            if part is not None:
                yield part
        return
    while True:
        try:
            yield from _by_workers(maker, jobs(), workers)
        except _DeathError as death:
            crashing = {item_id(item) for item in death.reading if _is_crashing(maker, item)}
            maker = replace(maker, crashing=maker.crashing | crashing)
            if crashing and len(maker.crashing) <= _MOST_CRASHING:
                names = ", ".join(sorted(crashing))
                report(f"a worker process died, and again when it read {names} alone: excluded")
            elif not crashing and workers > 1:
                workers //= 2
                report(f"a worker process died, perhaps out of memory: {workers} continue")
            else:
                names = ", ".join(sorted(map(item_id, death.reading)))
                raise InputError(
                    f"worker processes die, the last one while reading {names or 'nothing'}: "
                    "free memory or set workers lower, and start again to resume"
                ) from None
        else:
            return


class _DeathError(Exception):
    """A worker process died, and the others were ended; `reading` is what all of them read."""

    def __init__(self, reading: Sequence[Any]) -> None:
        super().__init__()
        self.reading = reading


def _by_workers(
    maker: PartMaker, jobs: Iterable[Job], workers: int
) -> Generator[PreparedPart, None, None]:
    """Parts as they are finished. Raises _DeathError."""
    sent: dict[Future[PreparedPart | None], Job] = {}

    def finished() -> Iterator[PreparedPart]:
        for future in wait(sent, return_when=FIRST_COMPLETED).done:
            part = future.result()
            del sent[future]
            if part is not None:
                yield part

    with _processes(maker, workers) as pool:
        try:
            for job in jobs:
                with _uninterrupted():
                    sent[pool.submit(_make, *job)] = job
                if len(sent) >= workers * _AHEAD:
                    yield from finished()
            while sent:
                yield from finished()
        except BrokenProcessPool:
            pool.shutdown()  # afterwards none of them runs
            raise _DeathError(_take_reading(maker.work, sent.values())) from None


def _take_reading(work: PreparationFolder, jobs: Iterable[Job]) -> list[Any]:
    """The items that ended processes were reading; what they wrote is removed."""
    items = {job.number: job.items for job in jobs}
    reading = []
    for path in sorted(work.making.glob(f"*/{READING}")):
        place = path.read_text(encoding="utf-8").split()
        if place:
            reading.append(items[int(place[0])][int(place[1])])
        shutil.rmtree(path.parent, ignore_errors=True)
    return reading


def _is_crashing(maker: PartMaker, item: Any) -> bool:
    """Whether a process that reads only this item dies."""
    with _processes(maker, 1) as pool:
        try:
            with _uninterrupted():
                future = pool.submit(_read, item)
            future.result()
        except BrokenProcessPool:
            return True
    return False


@contextmanager
def _processes(maker: PartMaker, workers: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of worker processes; at the end they stop at the next item and are waited for."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED_ONCE)
    try:
        # Not an Event: its lock stays locked when a process dies while it checks.
        stop = context.RawValue("b", 0)
        maker = replace(maker, stop=stop)
        pool = ProcessPoolExecutor(
            workers, mp_context=context, initializer=_start_worker, initargs=(maker,)
        )
    except OSError as error:
        raise InputError(
            f"worker processes cannot share memory ({error.strerror}): make /dev/shm writable, or "
            "set workers=1"
        ) from None
    try:
        yield pool
    finally:
        stop.value = 1
        pool.shutdown(cancel_futures=True)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Start processes that never get Ctrl-C, which a terminal sends to all, and start them whole.

    A signal to this process takes effect at the end. To block it would not do: another thread would
    take it, and a start that is interrupted leaves a process without its orders.
    """
    received: list[int] = []
    handlers = {}
    if threading.current_thread() is threading.main_thread():  # only this one is interrupted
        found = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        handlers = {number: handler for number, handler in found.items() if callable(handler)}
    with ExitStack() as stack:
        stack.callback(_raise_signals, received)
        for number, handler in handlers.items():
            stack.callback(signal.signal, number, handler)
            signal.signal(number, lambda number, _: received.append(number))
        inherited = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        stack.callback(signal.pthread_sigmask, signal.SIG_SETMASK, inherited)
        yield


def _raise_signals(numbers: Iterable[int]) -> None:
    for number in numbers:
        signal.raise_signal(number)


_maker: PartMaker | None = None  # in a worker process: sent once, not with every part


def _start_worker(maker: PartMaker) -> None:
    global _maker
    _maker = maker
    _die_with_parent()


def _make(number: int, items: Sequence[Any], on_sheet: frozenset[int]) -> PreparedPart | None:
    assert _maker is not None
    return _maker.make(number, items, on_sheet)


def _read(item: Any) -> None:
    assert _maker is not None
    _maker.read(item, [])


def _die_with_parent() -> None:
    """End this worker when its parent is killed: otherwise it waits for its queue forever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
