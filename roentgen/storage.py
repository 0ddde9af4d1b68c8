"""Atomic writing of files and folders, and checks of the output location."""

import errno
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from roentgen.errors import InputError

MANIFEST = "roentgen.json"  # of a finished folder: its kind, fingerprint, licenses, provenance


def write_file(path: Path, content: str | bytes) -> None:
    """Write a file atomically: readers of `path` see the old content or the new, never a part."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        with temporary.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _flush(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically. Raises ValueError for NaN and infinity, which JSON does not allow."""
    write_file(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def atomic_folder(path: Path, overwrite: bool = False) -> Iterator[Path]:
    """A temporary folder beside `path`, renamed to `path` if the block ends without an error.

    After an error the temporary folder is removed and `path` is unchanged. Raises InputError before
    the block, as `check_output` does.
    """
    check_output(path, overwrite=overwrite)
    target = path.resolve()
    mark = uuid.uuid4().hex[:8]
    temporary = target.with_name(f".{target.name}.{mark}.partial")
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
    old = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.old")
    if target.exists():
        target.rename(old)
    try:
        finished.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise
    _flush(target.parent)
    if old.exists():
        shutil.rmtree(old)


def check_output(folder: Path, *, overwrite: bool) -> None:
    """Raises InputError unless `folder` is absent, empty, or one of ours and `overwrite` is set."""
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
            f"the disk of {folder} has {free / 1e9:.2f} GB free, but {needed_bytes / 1e9:.2f} GB"
            " are needed: free some or choose another output folder"
        )


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


def _flush(path: Path) -> None:
    """Flush a file, or the renames in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
