"""Memory does not grow with the corpus."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PIXELS = 160
FEW = 1024  # items
IMAGE = PIXELS**2  # bytes: noise does not compress
# Measured: the program 126.8 and 128.8 MB, a worker 145.1 and 144.2 MB.
NOISE = 8_000_000  # bytes
ROW = 1_500  # bytes an item may take in the plan, the one thing that is kept


def peaks(run: Any) -> tuple[int, int]:
    """The greatest resident memory of the program and of a worker, in bytes."""
    found: dict[int, int] = {}
    while run.process.poll() is None:
        for pid in [run.process.pid, *run.workers()]:
            try:
                status = Path(f"/proc/{pid}/status").read_text()
            except FileNotFoundError:
                continue
            for line in status.splitlines():
                if line.startswith("VmHWM:"):  # the peak so far
                    found[pid] = int(line.split()[1]) * 1024
    run.end(0)
    return found.pop(run.process.pid), max(found.values())


@pytest.mark.slow
def test_four_times_the_items_take_no_more_memory(
    make_corpus: Callable[[Path, int, int], Path], tmp_path: Path, start: Callable[..., Any]
) -> None:
    measured = []
    for items in (FEW, 4 * FEW):
        corpus = make_corpus(tmp_path / f"corpus-{items}", items, PIXELS)
        measured.append(peaks(start(corpus, tmp_path / str(items))))
        print(f"{items} items: {[round(peak / 1e6, 1) for peak in measured[-1]]} MB")
    (program, worker), (program_4, worker_4) = measured
    more = 3 * FEW
    assert program_4 < program + NOISE + more * ROW
    assert worker_4 < worker + NOISE
    assert more * IMAGE / 2 > 2 * (NOISE + more * ROW)  # did each of two workers keep its images
