"""Prefetching: results computed in the background, before they are needed."""

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Generic, TypeVar

Job = TypeVar("Job")
Made = TypeVar("Made")

AHEAD = 2  # results computed and not yet taken
LOOK = 0.1  # seconds after which the thread looks whether it is still wanted


class Prefetched(Generic[Made]):
    """The results in the order of the jobs, and the seconds that were spent waiting for them."""

    def __init__(self) -> None:
        self.waited = 0.0
        self._ready: queue.Queue[Made | BaseException] = queue.Queue(AHEAD)
        self._unwanted = threading.Event()

    def take(self) -> Made:
        """The next result. Raises what its making raised; StopIteration beyond the last job."""
        started = time.perf_counter()
        result = self._ready.get()
        self.waited += time.perf_counter() - started
        if isinstance(result, BaseException):
            self._ready.put(result)  # nothing comes after it
            raise result
        return result

    def _run(self, jobs: Iterable[Job], make: Callable[[Job], Made]) -> None:
        try:
            for job in jobs:
                self._put(make(job))
                if self._unwanted.is_set():
                    return
            raise StopIteration
        except BaseException as error:  # it is the taker's
            self._put(error)

    def _put(self, result: Made | BaseException) -> None:
        while not self._unwanted.is_set():
            with suppress(queue.Full):
                self._ready.put(result, timeout=LOOK)
                return


@contextmanager
def prefetched(jobs: Iterable[Job], make: Callable[[Job], Made]) -> Iterator[Prefetched[Made]]:
    """Make the results of `jobs`, one after the other, in a thread that ends with the block.

    At most `AHEAD` are held ready. `make` must not depend on what the consumer does meanwhile.
    """
    results: Prefetched[Made] = Prefetched()
    # A daemon: should the process be ended otherwise, it does not stay for this thread.
    thread = threading.Thread(target=results._run, args=(jobs, make), name="prefetch", daemon=True)
    thread.start()
    try:
        yield results
    finally:
        results._unwanted.set()
        thread.join()
