"""Many machines share one preparation; what each of them may meet."""

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from roentgen.distributed import SINGLE_PROCESS, Launch, this_launch
from roentgen.errors import InputError
from roentgen.preparation.part_record import preparation_folder

Shards = dict[str, bytes]
Start = Callable[..., Any]  # gives conftest's Run
Resume = Callable[[Path, Path], Shards]

ACCELERATE = (sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu")


def torchrun(processes: int) -> tuple[str, ...]:
    count = f"--nproc_per_node={processes}"
    return (sys.executable, "-m", "torch.distributed.run", "--standalone", count)


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def mpi(rank: int, port: str) -> dict[str, str]:
    """What mpirun tells a process, and what accelerate wants besides; nobody watches over it."""
    told = {"RANK": rank, "SIZE": 2, "LOCAL_RANK": rank, "LOCAL_SIZE": 2}
    named = {f"OMPI_COMM_WORLD_{key}": str(value) for key, value in told.items()}
    return {**named, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}


def test_a_launch_is_known_by_torchrun_or_mpi(monkeypatch: pytest.MonkeyPatch) -> None:
    assert this_launch() == SINGLE_PROCESS
    for name, value in (("RANK", "3"), ("SIZE", "8"), ("LOCAL_SIZE", "4")):
        monkeypatch.setenv(f"OMPI_COMM_WORLD_{name}", value)
    assert this_launch() == Launch(3, 8, 0, 4)
    for name, value in (("RANK", "1"), ("WORLD_SIZE", "2"), ("LOCAL_WORLD_SIZE", "1")):
        monkeypatch.setenv(name, value)
    assert this_launch() == Launch(1, 2, 0, 1)


def test_a_launch_takes_no_core_that_it_was_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    assert Launch().cores() == 64
    assert Launch(0, 8, 0, 8).cores() == 8
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)))  # a scheduler's share
    assert Launch().cores() == 4
    assert Launch(0, 100, 0, 100).cores() == 1


def test_work_is_abandoned_when_the_first_process_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, later = preparation_folder(tmp_path / "out"), preparation_folder(tmp_path / "out", rank=1)
    assert not later.is_abandoned()  # it has finished
    with work.lock():
        work.open({})
        assert not later.is_abandoned()
        work.record_path(0).write_text("{}")
        with monkeypatch.context() as without_locks:
            without_locks.setattr("fcntl.flock", refuse)
            assert not later.is_abandoned()  # nobody can know
    assert later.is_abandoned()


def refuse(*_: object) -> None:
    raise OSError("no locks here")


def test_processes_that_cannot_meet_are_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise RuntimeError("Connection closed by peer [::1]:4711\nand a stack")

    monkeypatch.setattr("accelerate.PartialState", fail)
    with pytest.raises(InputError, match=r"did not meet \(Conn.*:4711\): one has ended") as caught:
        Launch(0, 2).wait_for_everyone()
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    "launcher",
    [torchrun(1), torchrun(3), (*ACCELERATE, "--num_processes=2", "--num_machines=1")],
    ids=["torchrun 1", "torchrun 3", "accelerate 2"],
)
def test_a_launch_gives_the_same_bytes(
    table: Path,
    whole: Shards,
    tmp_path: Path,
    start: Start,
    shards_of: Callable[[Path], Shards],
    launcher: tuple[str, ...],
) -> None:
    out = tmp_path / "out"
    told, _ = start(table, out, launcher=launcher).end(0)
    assert told.count("dataset: ") == 1
    assert shards_of(out) == whole
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.slow
def test_two_machines_give_the_same_bytes(
    table: Path, whole: Shards, tmp_path: Path, start: Start, shards_of: Callable[[Path], Shards]
) -> None:
    out, port = tmp_path / "out", free_port()
    common = (*ACCELERATE, "--num_processes=2", "--num_machines=2", "--main_process_ip=127.0.0.1")
    runs = [
        start(table, out, launcher=(*common, f"--main_process_port={port}", f"--machine_rank={i}"))
        for i in range(2)
    ]
    told = [run.end(0)[0] for run in runs]
    assert [text.count("dataset: ") for text in told] == [1, 0]
    assert shards_of(out) == whole


@pytest.mark.slow
def test_processes_of_mpi_give_the_same_bytes(
    table: Path, whole: Shards, tmp_path: Path, start: Start, shards_of: Callable[[Path], Shards]
) -> None:
    out, port = tmp_path / "out", free_port()
    runs = [start(table, out, **mpi(rank, port)) for rank in range(2)]
    told = [run.end(0)[0] for run in runs]
    assert [text.count("dataset: ") for text in told] == [1, 0]
    assert shards_of(out) == whole


@pytest.mark.slow
def test_another_number_of_ranks_goes_on(
    table: Path, whole: Shards, tmp_path: Path, start: Start, resume: Resume
) -> None:
    out = tmp_path / "out"
    for finished, ranks in ((1, 2), (3, 3)):
        run = start(table, out, "--workers=1", launcher=torchrun(ranks))
        run.wait_for_parts(finished)
        run.kill()
        told, _ = run.end()
        assert (ranks == 2) or "resuming with" in told
    assert resume(table, out) == whole


@pytest.mark.slow
@pytest.mark.parametrize("dead", [0, 1])
def test_a_dead_rank_ends_the_launch(
    table: Path, whole: Shards, tmp_path: Path, start: Start, resume: Resume, dead: int
) -> None:
    out = tmp_path / "out"
    run = start(table, out, "--workers=1", launcher=torchrun(2))
    run.wait_for_parts(1)
    run.kill(rank=dead)
    _, errors = run.end(1)
    assert errors.count("finished parts remain, and the same command resumes") == 1
    assert resume(table, out) == whole


@pytest.mark.slow
def test_the_first_rank_makes_what_a_dead_one_left(
    table: Path, whole: Shards, tmp_path: Path, start: Start, shards_of: Callable[[Path], Shards]
) -> None:
    port = free_port()
    first, second = (start(table, tmp_path / "out", **mpi(rank, port)) for rank in range(2))
    first.wait_for_parts(1)
    second.kill()
    first.end(0)
    assert shards_of(tmp_path / "out") == whole


@pytest.mark.slow
def test_without_the_first_rank_the_others_make_all_parts_and_say_so(
    table: Path, whole: Shards, tmp_path: Path, start: Start, resume: Resume
) -> None:
    port = free_port()
    first, second = (start(table, tmp_path / "out", **mpi(rank, port)) for rank in range(2))
    first.wait_for_parts(1)
    first.kill()
    _, errors = second.end(2)
    assert "error: the first process ended early: start all processes again to resume" in errors
    assert len(second.work.finished()) == 8
    assert resume(table, tmp_path / "out") == whole
