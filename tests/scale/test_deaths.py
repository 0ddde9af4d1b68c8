"""A run that is killed leaves no process; a worker that is killed costs no other item."""

import operator
import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from roentgen.corpora.reader import Exclusion
from roentgen.errors import InputError
from roentgen.imaging.images import encode_png
from roentgen.preparation.part_maker import PartMaker
from roentgen.preparation.part_record import PART_ITEMS, preparation_folder
from roentgen.preparation.postprocess import Postprocessing
from roentgen.preparation.workers import make_parts
from roentgen.record.radiograph import Radiograph
from roentgen.storage import is_reserved

Shards = dict[str, bytes]
Start = Callable[..., Any]  # gives conftest's Run
Resume = Callable[[Path, Path], Shards]


@pytest.mark.parametrize("kill", [os.kill, os.killpg], ids=["parent", "group"])
def test_no_process_outlives_a_killed_run(
    table: Path,
    whole: Shards,
    tmp_path: Path,
    start: Start,
    resume: Resume,
    kill: Callable[[int, int], None],
) -> None:
    out = tmp_path / "out"
    run = start(table, out)
    run.wait_for_parts(1)
    assert len(run.workers()) == 2
    kill(run.process.pid, signal.SIGKILL)
    run.end(-signal.SIGKILL)
    assert not out.exists()
    assert resume(table, out) == whole


def test_a_worker_that_outlives_its_killed_run_holds_no_lock(
    table: Path, tmp_path: Path, start: Start
) -> None:
    out = tmp_path / "out"
    run = start(table, out)
    run.wait_for_parts(1)
    assert is_reserved(out)
    stopped = run.workers()[0]
    os.kill(stopped, signal.SIGSTOP)
    os.kill(run.process.pid, signal.SIGKILL)
    run.process.wait()
    assert not is_reserved(out)
    assert stopped in run.processes()
    os.kill(stopped, signal.SIGCONT)
    run.end(-signal.SIGKILL)


@pytest.mark.parametrize("others", [2, 3, 4], ids=["fork server", "one worker", "two"])
def test_an_interrupt_while_workers_start_is_one_line(
    table: Path, tmp_path: Path, start: Start, others: int
) -> None:
    run = start(table, tmp_path / "out")
    run.wait_for(lambda: len(run.processes()) > others)  # one is the resource tracker
    os.killpg(run.process.pid, signal.SIGINT)
    assert_one_line(run.end(130)[1])


@pytest.mark.slow
def test_an_interrupt_at_any_early_moment_is_one_line(
    table: Path, tmp_path: Path, start: Start
) -> None:
    begun = time.monotonic()
    first = start(table, tmp_path / "first")
    first.wait_for(first.processes)
    first.wait_for_parts(1)
    until_first_part = time.monotonic() - begun
    first.end(0)
    for number in range(40):
        run = start(table, tmp_path / str(number) / "out")
        time.sleep(until_first_part * (number + 1) / 40)
        os.killpg(run.process.pid, signal.SIGINT)
        assert_one_line(run.end()[1])


def assert_one_line(errors: str) -> None:
    """That a run's errors are the one line of an interrupted run."""
    (line,) = [line for line in errors.splitlines() if line and "preparing:" not in line]
    assert re.fullmatch("interrupted(: .* finished parts remain, .*)?", line)


@pytest.mark.parametrize(
    ("kill", "number"),
    [(os.kill, signal.SIGTERM), (os.killpg, signal.SIGTERM), (os.killpg, signal.SIGINT)],
    ids=["terminated", "all terminated", "Ctrl-C"],  # which a terminal sends to all
)
def test_an_interrupted_run_says_in_one_line_what_stays(
    table: Path,
    whole: Shards,
    tmp_path: Path,
    start: Start,
    resume: Resume,
    kill: Callable[[int, int], None],
    number: int,
) -> None:
    out = tmp_path / "out"
    run = start(table, out)
    run.wait_for_parts(1)  # at once: a fast machine makes the others within a second
    kill(run.process.pid, number)
    _, errors = run.end(130)
    stay = len(run.work.finished())
    assert stay >= 1
    lines = [line for line in errors.splitlines() if line and "preparing:" not in line]
    line = f"{stay} finished parts remain, and the same command resumes"
    assert lines == [f"interrupted: {line}"]
    assert resume(table, out) == whole


def test_a_killed_worker_costs_no_item(
    table: Path, whole: Shards, tmp_path: Path, start: Start, shards_of: Callable[[Path], Shards]
) -> None:
    run = start(table, tmp_path / "out")
    run.wait_for_parts(1)
    os.kill(run.workers()[0], signal.SIGKILL)
    told, _ = run.end(0)
    assert "prepare: a worker process died, perhaps out of memory: 1 continue" in told
    assert shards_of(tmp_path / "out") == whole


@pytest.mark.slow
def test_twenty_kills_at_random_moments(
    table: Path,
    whole: Shards,
    tmp_path: Path,
    start: Start,
    resume: Resume,
    shards_of: Callable[[Path], Shards],
) -> None:
    generator = random.Random()
    longest = 300.0  # seconds of work: until the first run has told
    stayed: list[int] = []  # finished parts after each kill
    rounds = 0
    while len(stayed) < 20:
        out = tmp_path / str(rounds) / "out"
        while not out.exists() and len(stayed) < 20:
            run = start(table, out)
            earlier = set(run.work.making.glob("*"))
            while run.process.poll() is None and set(run.work.making.glob("*")) <= earlier:
                time.sleep(0.002)
            begun = time.monotonic()
            with suppress(subprocess.TimeoutExpired):
                run.process.wait(generator.uniform(0, longest) if rounds else longest)
            if not rounds:
                longest = time.monotonic() - begun
            with suppress(ProcessLookupError):  # all have ended
                generator.choice([os.kill, os.killpg])(run.process.pid, signal.SIGKILL)
            run.end()
            if not out.exists():
                stayed.append(len(run.work.finished()))
        assert (shards_of(out) if out.exists() else resume(table, out)) == whole
        rounds += 1
    print(f"20 kills in {rounds} datasets; finished parts then: {stayed}")


def made_of(items: Sequence[Any], tmp_path: Path) -> tuple[list[Exclusion], int, list[str]]:
    """(what was left out, how many radiographs, what was told) by three workers.

    To read an item is to make its `call`.
    """
    told: list[str] = []
    work = preparation_folder(tmp_path / "out")
    reader: Any = SimpleNamespace(read=operator.methodcaller("call"))
    maker = PartMaker(work=work, reader=reader, postprocess=Postprocessing())
    with work.lock():
        work.open({})
        for _ in make_parts(maker, items, frozenset(), workers=3, report=told.append):
            pass
        done = [work.read(number) for number in sorted(work.finished())]
        assert not list(work.making.iterdir())
        work.remove()
    excluded = [item for part in done for item in part.excluded]
    return excluded, sum(s.counts.rows for part in done for s in part.shards.values()), told


def radiograph(name: str) -> SimpleNamespace:
    made = Radiograph(
        id=name,
        patient_id=name,
        study_id=name,
        split="train",
        image=encode_png(np.zeros((4, 4), dtype=np.uint8)),
        view=None,
        source="test",
        license="CC0-1.0",
    )
    return SimpleNamespace(id=name, call=partial(list, [made]))


def deadly(name: str) -> SimpleNamespace:
    return SimpleNamespace(id=name, call=partial(signal.raise_signal, signal.SIGKILL))


def test_an_item_that_ends_its_process_is_excluded(tmp_path: Path) -> None:
    items = [radiograph(str(i)) for i in range(2 * PART_ITEMS + 20)]
    items[7], items[270] = deadly("first"), deadly("second")
    excluded, rows, told = made_of(items, tmp_path)
    assert {item.id for item in excluded} == {"first", "second"}
    assert all("it ended the process" in item.reason and item.is_bad for item in excluded)
    assert rows == len(items) - 2
    assert all("alone: excluded" in line for line in told)
    assert {word for line in told for word in re.findall("first|second", line)} == {
        "first",
        "second",
    }


def test_when_all_processes_die_the_run_ends(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="free memory or set workers lower, and start again"):
        made_of([deadly(str(i)) for i in range(PART_ITEMS)], tmp_path)
