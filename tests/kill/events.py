"""Kill a process at one of its file-system events: an audit hook counts them and sends SIGKILL."""

import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Places of the paths in an event's arguments, and of the open folders that they are below.
_PATHS: dict[str, list[tuple[int, int | None]]] = {
    "open": [(0, None)],
    "os.mkdir": [(0, 2)],
    "os.rename": [(0, 2), (1, 3)],
    "os.remove": [(0, 1)],
    "os.rmdir": [(0, 1)],
    "os.truncate": [(0, None)],
    "os.link": [(0, 2), (1, 3)],
    "os.symlink": [(0, None), (1, 2)],
}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_INPUT_ERROR, _BUG = 2, 1


@dataclass(frozen=True)
class End:
    """How a run ended."""

    code: int  # of its exit, or minus the number of its signal
    events: list[str]  # those below the folder, in order; the last is the one it was killed at
    lines: str  # what it wrote on the terminal


def run_forked(action: Callable[[], None], root: Path, log: Path, kill_at: int | None) -> End:
    """Run an action in a fork of this process, which dies just before its n-th event below `root`.

    `log` is a folder for what it writes.
    """
    events, lines = log / "events", log / "lines"
    child = os.fork()
    if child == 0:
        code = _BUG
        try:
            output = os.open(lines, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(output, 1)
            os.dup2(output, 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w")
            _watch(root.resolve(), events, kill_at)
            code = _code_of(action)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return End(
        os.waitstatus_to_exitcode(status),
        events.read_text().splitlines(),
        lines.read_text(errors="replace"),
    )


def _code_of(action: Callable[[], None]) -> int:
    try:
        action()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else _INPUT_ERROR
    except BaseException:
        traceback.print_exc()
        return _BUG
    return 0


def _watch(root: Path, log: Path, kill_at: int | None) -> None:
    """Log this process's events below `root`, and die before event number `kill_at`, from 0."""
    me, number = os.getpid(), 0
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal number
        if event not in _PATHS or os.getpid() != me:
            return
        if event == "open" and not arguments[2] & _WRITES:
            return
        paths = [_absolute(arguments, *places) for places in _PATHS[event]]
        if not any(path.startswith(f"{root}/") for path in paths):
            return
        os.write(file, f"{event} {' '.join(path[len(str(root)) :] for path in paths)}\n".encode())
        if number == kill_at:
            os.kill(me, signal.SIGKILL)
        number += 1

    sys.addaudithook(hook)


def _absolute(arguments: tuple[Any, ...], place: int, folder: int | None) -> str:
    path = arguments[place]
    if isinstance(path, int):
        return ""  # an open file
    below = arguments[folder] if folder is not None else -1
    start = Path.cwd() if below in (-1, None) else Path(f"/proc/self/fd/{below}").readlink()
    return os.path.normpath(start / os.fsdecode(path))
