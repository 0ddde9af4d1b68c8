"""File locks: held while a process lives, on network file systems too, and free once it is dead.

A process that is forked while its parent holds a lock does not hold it too.
"""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

_opened: set[IO[bytes]] = set()  # the files that this process locks


class LockedError(Exception):
    """A living process holds the lock; the message names its process and machine."""


@contextmanager
def locked_file(path: Path, *, wait: bool) -> Iterator[IO[bytes]]:
    """An empty, locked file at `path`; unless it was renamed, it is removed at the end.

    What a dead process left there is used again. Unless `wait`, raises LockedError if the file is
    locked. File systems without locks lock nothing.
    """
    while True:
        file = path.open("a+b")
        _opened.add(file)
        try:
            if not _lock(file, fcntl.LOCK_EX, wait=wait):
                file.seek(0)
                raise LockedError(file.read().decode(errors="replace").strip() or "unknown process")
            if _is_at(file, path):  # else its last holder has renamed or removed it
                break
        except BaseException:
            _close(file)
            raise
        _close(file)
    try:
        file.truncate(0)
        yield file
    finally:
        if _is_at(file, path):
            path.unlink()
        _close(file)


@contextmanager
def process_lock(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock file `path`, which names this process; see `locked_file`."""
    with locked_file(path, wait=wait) as file:
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        file.flush()
        yield


def is_locked(path: Path) -> bool:
    """Whether a living process holds a lock file; also if the file system cannot answer."""
    try:
        with path.open("rb") as file:
            return not _lock(file, fcntl.LOCK_SH, without=False)
    except FileNotFoundError:
        return False


def _lock(file: IO[bytes], kind: int, *, wait: bool = False, without: bool = True) -> bool:
    """Whether the lock was acquired; `without`: the answer on a file system without locks."""
    try:
        fcntl.flock(file, kind if wait else kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return without
    return True


def _is_at(file: IO[bytes], path: Path) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False


def _close(file: IO[bytes]) -> None:
    _opened.discard(file)
    file.close()


def _leave_to_parent() -> None:
    """In a forked process: let go of the parent's locks, which would outlive the parent here."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for file in _opened:
        os.dup2(nothing, file.fileno(), inheritable=False)  # to close it would write its buffer
    os.close(nothing)
    _opened.clear()


os.register_at_fork(after_in_child=_leave_to_parent)
