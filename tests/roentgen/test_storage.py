"""Outputs are whole or absent, wherever their process is killed, and made by one at a time."""

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import roentgen.storage
from roentgen.errors import InputError
from roentgen.file_lock import LockedError, is_locked, locked_file, process_lock
from roentgen.storage import (
    MANIFEST,
    atomic_folder,
    is_reserved,
    remove_partials,
    reserve_output,
    write_file,
)
from tests.kill.events import End, run_forked

Tree = dict[str, str]


@pytest.fixture(params=["exchanged", "renamed twice"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How a folder is replaced: as Linux can, or as other systems must."""
    if request.param == "renamed twice":
        monkeypatch.setattr(roentgen.storage, "_exchange", lambda a, b: False)
    return str(request.param)


def write_folder(target: Path, text: str, overwrite: bool = True) -> None:
    with atomic_folder(target, overwrite) as folder:
        (folder / "deep").mkdir()
        write_file(folder / "deep" / "a", text)
        write_file(folder / MANIFEST, text)


def tree(root: Path) -> Tree:
    """All files below a folder, with the names of empty folders."""
    return {
        str(path.relative_to(root)): path.read_text() if path.is_file() else "folder"
        for path in sorted(root.rglob("*"))
        if path.is_file() or not any(path.iterdir())
    }


def whole(text: str) -> Tree:
    return {"out/deep/a": text, f"out/{MANIFEST}": text}


def each_kill(
    begin: Callable[[Path], None], action: Callable[[Path], None], place: Path
) -> Iterator[Path]:
    """What an action leaves where it is killed at each of its events in turn."""
    log = place / "log"
    log.mkdir()

    def run(number: int | None) -> tuple[Path, End]:
        root = place / str(number)
        root.mkdir()
        begin(root)
        return root, run_forked(lambda: action(root), root, log, number)

    _, whole_run = run(None)
    assert whole_run.code == 0, whole_run.lines
    assert len(whole_run.events) > 5
    for number in range(len(whole_run.events)):
        root, end = run(number)
        assert end.code == -signal.SIGKILL, end.lines
        yield root


def test_a_folder_is_absent_or_whole_after_every_kill(tmp_path: Path) -> None:
    write: Callable[[Path], None] = lambda root: write_folder(root / "out", "1")  # noqa: E731
    for root in each_kill(lambda root: None, write, tmp_path):
        found = tree(root)
        hidden = {name for name in found if name.startswith(".")}
        assert {name: found[name] for name in found.keys() - hidden} in ({}, whole("1"))
        write_folder(root / "out", "1")
        assert tree(root) == whole("1")


def test_a_replaced_folder_is_the_old_or_the_new_after_every_kill(
    tmp_path: Path, way: str, capfd: pytest.CaptureFixture[str]
) -> None:
    seen = set()
    for root in each_kill(
        lambda root: write_folder(root / "out", "old"),
        lambda root: write_folder(root / "out", "new"),
        tmp_path,
    ):
        there = (root / "out").exists()
        assert there or way == "renamed twice"
        if there:
            state = (root / "out" / "deep" / "a").read_text()
            assert {k: v for k, v in tree(root).items() if k.startswith("out/")} == whole(state)
            seen.add(state)
        else:  # not even another run without overwrite may lose it
            with pytest.raises(InputError, match="is not empty"):
                write_folder(root / "out", "new", overwrite=False)
            assert tree(root) == whole("old")
            line = f"{root / 'out'} is back: a killed run was replacing it"
            assert line in capfd.readouterr().err
        write_folder(root / "out", "new")
        assert tree(root) == whole("new")
    assert seen == {"old", "new"}


def test_a_file_is_the_old_or_the_new_after_every_kill(tmp_path: Path) -> None:
    def begin(root: Path) -> None:
        (root / "a").write_text("old")

    def action(root: Path) -> None:
        for text in ("1", "2", "3", "4", "new"):
            write_file(root / "a", text)

    for root in each_kill(begin, action, tmp_path):
        assert (root / "a").read_text() in ("old", "1", "2", "3", "4", "new")
        write_file(root / "a", "new")
        assert tree(root) == {"a": "new"}


def test_what_a_dead_process_left_is_removed_and_reported(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".out.partial" / "deep").mkdir(parents=True)
    (tmp_path / ".out.lock").write_text("process 1 on earth\n")
    (tmp_path / ".other.partial").mkdir()
    (tmp_path / ".sheet.png.partial").write_text("half")
    with reserve_output(tmp_path / "out"), reserve_output(tmp_path / "sheet.png"):
        left = {".out.lock", ".sheet.png.lock", ".other.partial"}
        assert {path.name for path in tmp_path.iterdir()} == left
    assert {path.name for path in tmp_path.iterdir()} == {".other.partial"}
    assert capfd.readouterr().err.splitlines() == [
        f"removed .{name}.partial in {tmp_path}, which a killed run had left"
        for name in ("out", "sheet.png")
    ]


def test_the_second_of_two_processes_is_refused_by_name(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with reserve_output(out):
        assert is_reserved(out)

        def second() -> None:
            roentgen.storage._reserved.clear()  # a process of its own
            with pytest.raises(InputError) as error, atomic_folder(out):
                pass
            print(error.value)

        (tmp_path / "log").mkdir()
        end = run_forked(second, tmp_path / "elsewhere", tmp_path / "log", None)
        assert end.lines == (
            f"another run is making {out} (process {os.getpid()} on {socket.gethostname()}): "
            "wait for it, or choose another output\n"
        )
        with atomic_folder(out / "model") as folder:  # within, this process needs no further lock
            (folder / "a").write_text("")
            assert not (out / ".model.lock").exists()
    assert not is_reserved(out)
    assert tree(tmp_path) | {"log/lines": "", "log/events": ""} == {
        "out/model/a": "",
        "log/lines": "",
        "log/events": "",
    }


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    lock = tmp_path / "tree" / "lock"
    lock.parent.mkdir()

    def die() -> None:
        with process_lock(lock):
            assert is_locked(lock)
            (lock.parent / "a").mkdir()

    end = run_forked(die, lock.parent, tmp_path / "log", 1)
    assert end.code == -signal.SIGKILL
    assert lock.exists()
    assert not is_locked(lock)
    with process_lock(lock):
        with pytest.raises(LockedError, match=rf"^process {os.getpid()} on "), process_lock(lock):
            pass
        assert is_locked(lock)
    assert not lock.exists()


def test_a_process_forked_from_a_holder_does_not_hold_its_lock(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    lock, forked = tmp_path / "lock", tmp_path / "forked"

    def leave_one_behind() -> None:
        with process_lock(lock):
            if (child := os.fork()) == 0:
                signal.pause()
            forked.write_text(str(child))
            os.kill(os.getpid(), signal.SIGKILL)

    def leave_early() -> None:
        with process_lock(lock):
            if os.fork() == 0:
                raise SystemExit(0)  # it ends here, and the lock stays its parent's
            os.wait()
            assert is_locked(lock)
            assert lock.exists()

    assert run_forked(leave_early, tmp_path / "no", tmp_path / "log", None).code == 0
    assert run_forked(leave_one_behind, tmp_path / "no", tmp_path / "log", None).code < 0
    alive = int(forked.read_text())
    try:
        assert lock.exists()
        assert not is_locked(lock)
        os.kill(alive, 0)  # it lives
    finally:
        os.kill(alive, signal.SIGKILL)


def test_what_living_processes_write_into_a_cache_stays(tmp_path: Path) -> None:
    (tmp_path / ".dead.partial").write_text("half")
    (tmp_path / ".killed.partial").mkdir()
    (tmp_path / ".killed.lock").touch()
    with locked_file(tmp_path / ".alive.partial", wait=False), atomic_folder(tmp_path / "made"):
        remove_partials(tmp_path)
        alive = {".alive.partial", ".made.partial", ".made.lock"}
        assert {path.name for path in tmp_path.iterdir()} == alive
