"""Outputs: files and folders that are whole or absent, made by one process at a time.

A folder is made as `.NAME.partial` beside its name and renamed. While a process makes an output, it
holds `.NAME.lock`; what a killed process left is put back or removed when the output is made again.
"""

import ctypes
import errno
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from roentgen.errors import InputError
from roentgen.file_lock import LockedError, is_locked, locked_file, process_lock

MANIFEST = "roentgen.json"  # of a finished folder: its kind, fingerprint, licenses, provenance
CHECKSUMS = "checksums.json"  # of a finished folder: size and checksum of each file
CARD = "README.md"  # of datasets and models; the one file that may be edited
WORK = ("preparing", "generating", "screening", "annotating")  # hidden folders of unfinished work
INSTALLED = "result.json"  # in one of these: the output's manifest, once the output is installed

_RENAME_EXCHANGE, _AT_FDCWD = 2, -100  # of Linux
_reserved: set[Path] = set()  # outputs that this process has locked


def write_file(path: Path, content: str | bytes) -> None:
    """Write a file atomically: readers of `path` see the old content or the new, never a part."""
    temporary = _beside(path, "partial")
    with locked_file(temporary, wait=True) as file:  # another run may write the same cache
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
        temporary.replace(path)
    _flush(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically. Raises ValueError for NaN and infinity, which JSON does not allow."""
    write_file(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def reserve_output(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Lock an output; first put back or remove what a killed process left beside it.

    Outputs within one that this process has reserved are reserved too. Unless `wait`, raises
    InputError if a living process makes the output.
    """
    target = path.resolve()
    lock = nullcontext() if _is_covered(target) else _lock(path, target, wait)
    with lock:
        _recover(target)
        yield


def is_reserved(path: Path) -> bool:
    """Whether a living process makes an output; also if the file system cannot answer."""
    return is_locked(_beside(path.resolve(), "lock"))


@contextmanager
def atomic_folder(path: Path, overwrite: bool = False) -> Iterator[Path]:
    """A temporary folder beside `path`, renamed to `path` if the block ends without an error.

    After an error the temporary folder is removed and `path` is unchanged. Raises InputError before
    the block, as `reserve_output` and `check_output` do.
    """
    with reserve_output(path):
        check_output(path, overwrite=overwrite)
        target = path.resolve()
        temporary = _beside(target, "partial")
        with _named_failure(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary.mkdir()
        try:
            yield temporary
            install_folder(temporary, target, overwrite=overwrite)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def install_folder(finished: Path, target: Path, *, overwrite: bool) -> None:
    """Rename a finished folder on the same disk to `target`, then remove the folder it replaces.

    Raises InputError as `check_output` does; both folders are then unchanged.
    """
    for inner in (finished, *finished.rglob("*")):
        _flush(inner)
    check_output(target, overwrite=overwrite)  # it may have been written in the meantime
    replaced, old = _beside(target, "partial"), _beside(target, "old")
    if not (target.exists() and any(target.iterdir())):
        finished.rename(target)
    elif _exchange(finished, target):
        if finished != replaced:
            finished.rename(replaced)
    else:
        target.rename(old)
        try:
            finished.rename(target)
        except OSError:
            old.rename(target)
            raise
        old.rename(replaced)  # a folder named .old is always whole
    _flush(target.parent)
    if replaced.exists():
        shutil.rmtree(replaced)


def discard_folder(folder: Path, target: Path) -> None:
    """Remove a folder beside `target` at once: if interrupted, the rest is a killed run's."""
    replaced = _beside(target.resolve(), "partial")
    folder.rename(replaced)
    shutil.rmtree(replaced, ignore_errors=True)


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it, if it exists."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_partials(folder: Path) -> None:
    """Remove the files and folders that killed processes were writing into a folder of caches."""
    for lock in folder.glob(".*.lock"):
        with suppress(LockedError, OSError), process_lock(lock):
            shutil.rmtree(lock.with_suffix(".partial"), ignore_errors=True)
    for file in folder.glob(".*.partial"):
        with suppress(LockedError, OSError), locked_file(file, wait=False):
            pass


def check_output(folder: Path, *, overwrite: bool) -> None:
    """Raises InputError unless `folder` is absent, empty, or one of ours and `overwrite` is set.

    A link is not overwritten, nor is the current folder or one that holds it ever an output.
    """
    check_place(folder)
    if overwrite and folder.is_symlink():
        raise InputError(
            f"output {folder} is a link, which overwrite=true does not replace: give the folder "
            f"{folder.resolve()} itself"
        )
    if folder.exists() and not folder.is_dir():
        raise InputError(f"output {folder} is a file, not a folder: choose another")
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not overwrite:
        raise InputError(
            f"output folder {folder} is not empty: choose another, or set overwrite=true"
        )
    if not (folder / MANIFEST).exists():
        raise InputError(
            f"output folder {folder} was not written by this project (it has no {MANIFEST}), so it"
            " is not overwritten: remove it yourself or choose another"
        )


def check_writable(folder: Path) -> None:
    """Raises InputError unless `folder`, or the place for it, is writable; creates its parents."""
    with _named_failure(folder):
        folder.resolve().parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder if folder.exists() else folder.resolve().parent):
            pass


def check_free_space(folder: Path, needed_bytes: int) -> None:
    """Raises InputError unless the disk of `folder`, which need not exist, has enough space."""
    existing = next(place for place in (folder, *folder.resolve().parents) if place.exists())
    free = shutil.disk_usage(existing).free
    if free < needed_bytes:
        raise InputError(
            f"the disk of {folder} has {readable_size(free)} free, but "
            f"{readable_size(needed_bytes)} are needed: "
            "free some or choose another output folder"
        )


def check_place(output: Path) -> None:
    """Raises InputError for an output that is the current folder or holds it."""
    if output.resolve() in (current := Path.cwd(), *current.parents):
        raise InputError(
            f"output {output} is the current folder or holds it: give a folder of its own"
        )


def check_apart(output: Path, inputs: Mapping[str, str]) -> None:
    """Raises InputError for an input that overwriting the output would remove.

    `inputs` are paths by the keys that name them.
    """
    for key, path in inputs.items():
        if path and Path(path).resolve().is_relative_to(output.resolve()):
            raise InputError(
                f"{key} {path} would be removed with output {output}, which overwrite=true "
                "replaces: choose another output"
            )


def readable_size(count: int) -> str:
    """Bytes in the unit in which they are at least 1."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= unit:
            return f"{count / unit:.2f} {name}"
    return f"{count} bytes"


@contextmanager
def _named_failure(path: Path) -> Iterator[None]:
    """Turns OSError into an InputError that names `path`; a full disk stays an OSError."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        reason = error.strerror or str(error)
        raise InputError(f"output folder {path} cannot be created or written: {reason}") from None


def _beside(path: Path, role: str) -> Path:
    return path.with_name(f".{path.name}.{role}")


def _is_covered(target: Path) -> bool:
    return not _reserved.isdisjoint((target, *target.parents))


@contextmanager
def _lock(path: Path, target: Path, wait: bool) -> Iterator[None]:
    """Hold the lock of an output. Raises InputError if another process does, unless `wait`."""
    for folder in target.parents:
        if (folder / CHECKSUMS).exists():
            raise InputError(
                f"output {path} is within {folder}, which is finished: give a folder of its own"
            )
    with ExitStack() as stack:
        with _named_failure(path):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                stack.enter_context(process_lock(_beside(target, "lock"), wait=wait))
            except LockedError as holder:
                raise InputError(
                    f"another run is making {path} ({holder}): wait for it, or choose another "
                    "output"
                ) from None
        _reserved.add(target)
        stack.callback(_reserved.discard, target)
        yield


def _recover(target: Path) -> None:
    """Put back the whole folder that a killed run was replacing, and remove what it left."""
    partial, old = _beside(target, "partial"), _beside(target, "old")
    if old.exists() and not target.exists():
        old.rename(target)
        _report(f"{target} is back: a killed run was replacing it")
    left = [place for place in (partial, old) if place.exists()]
    for place in left:
        if place is old:
            old.rename(partial)
        remove(partial)
    if left:
        names = " and ".join(place.name for place in left)
        _report(f"removed {names} in {target.parent}, which a killed run had left")
    for work in (_beside(target, doing) for doing in WORK):
        if _is_installed(work, target):
            discard_folder(work, target)


def _is_installed(work: Path, target: Path) -> bool:
    """Whether an output is made: a run was killed before it removed its work."""
    with suppress(OSError):
        return (work / INSTALLED).read_bytes() == (target / MANIFEST).read_bytes()
    return False


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201


def _exchange(a: Path, b: Path) -> bool:
    """Exchange two folders atomically; False where system or file system cannot."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    places = _AT_FDCWD, os.fsencode(a), _AT_FDCWD, os.fsencode(b)
    return rename is not None and rename(*places, _RENAME_EXCHANGE) == 0


def _flush(path: Path) -> None:
    """Flush a file, or the renames in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
