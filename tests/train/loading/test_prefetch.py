import threading
import time
from collections.abc import Iterator

import pytest

from train.loading.prefetch import AHEAD, prefetched


def names() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


def test_results_come_in_order_from_another_thread() -> None:
    with prefetched(range(50), lambda job: (job, threading.current_thread())) as results:
        made = [results.take() for _ in range(50)]
    assert [job for job, _ in made] == list(range(50))
    assert {thread for _, thread in made}.isdisjoint({threading.current_thread()})


def test_making_goes_on_meanwhile_but_not_far_ahead() -> None:
    made: list[int] = []
    with prefetched(range(50), made.append) as results:
        time.sleep(0.3)
        assert len(made) == AHEAD + 1  # one more waits for a place
        results.take()
        time.sleep(0.3)
        assert len(made) == AHEAD + 2
        assert results.waited < 0.1


def test_waiting_is_counted() -> None:
    with prefetched(range(3), lambda job: time.sleep(0.2)) as results:
        for _ in range(3):
            results.take()
    assert results.waited == pytest.approx(0.6, abs=0.15)


def test_an_error_comes_through_after_what_was_made_before_it() -> None:
    def make(job: int) -> int:
        if job == 2:
            raise ValueError(f"job {job}")
        return job

    with prefetched(range(9), make) as results:
        assert [results.take(), results.take()] == [0, 1]
        for _ in range(2):
            with pytest.raises(ValueError, match="job 2"):
                results.take()
    assert "prefetch" not in names()


def test_an_error_of_the_jobs_comes_through_too() -> None:
    def jobs() -> Iterator[int]:
        yield 1
        raise KeyError("lost")

    with prefetched(jobs(), str) as results:
        assert results.take() == "1"
        with pytest.raises(KeyError, match="lost"):
            results.take()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_the_thread_ends_with_the_block(error: type[BaseException]) -> None:
    def leave() -> None:
        with prefetched(range(10**9), str) as results:
            assert results.take() == "0"
            assert "prefetch" in names()
            raise error

    with pytest.raises(error):
        leave()
    assert "prefetch" not in names()


def test_beyond_the_last_there_is_nothing() -> None:
    with prefetched([1], str) as results:
        results.take()
        with pytest.raises(StopIteration):
            results.take()
