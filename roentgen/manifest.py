"""Output folders: written whole or not at all, and each says what it is and what it came from."""

import errno
import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from roentgen.config import config_to_dict
from roentgen.errors import InputError

MANIFEST = "roentgen.json"
Kind = Literal["dataset", "model", "results", "run", "adapter", "export"]

# What a run's numbers depend on beside our own code.
PACKAGES = (
    "roentgen-cxr",
    "accelerate",
    "datasets",
    "diffusers",
    "imagecodecs",
    "numpy",
    "pillow",
    "pydicom",
    "scipy",
    "torch",
    "torchmetrics",
    "torchvision",
    "transformers",
)


@dataclass(frozen=True, kw_only=True)
class License:
    """The terms that a folder's content is under, and what is made from it inherits."""

    name: str
    """SPDX identifier where there is one ("CC-BY-4.0"), else the licence's own name."""
    data_use: str | None
    """What a data-use agreement demands beyond the licence; None if there is none."""
    may_share: bool
    """Whether content, or what a model made of it, may be passed on."""


def write_file(path: Path, content: str | bytes) -> None:
    """Write a file atomically: whoever opens `path` sees the old content or the new, never half."""
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
    """Write JSON atomically; NaN and infinity, which JSON does not know, are a ValueError."""
    write_file(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def whole_folder(path: Path, overwrite: bool = False) -> Iterator[Path]:
    """A temporary folder beside `path`, which becomes `path` if the block ends without an error.

    After an error the temporary folder is removed and what stood at `path` still stands. Raises
    InputError, before the block, as `check_output` does.
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
    """Give a finished folder on the same disk its name; what stands there goes afterwards.

    Raises InputError as `check_output` does, and leaves both folders as they are then.
    """
    for inner in (finished, *finished.rglob("*")):
        _flush(inner)
    check_output(target, overwrite=overwrite)  # it may have been made meanwhile
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
    """Raise InputError unless `folder` may be written: absent or empty, or ours and `overwrite`."""
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
            f"output folder {folder} holds files that are not ours (no {MANIFEST}), so it is not"
            " overwritten: remove it yourself or choose another"
        )


def check_writable(folder: Path) -> None:
    """Raise InputError unless files can be made in `folder` or, where it is absent, beside it.

    Its parents are made.
    """
    with _named_failure(folder):
        folder.resolve().parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder if folder.exists() else folder.resolve().parent):
            pass


def check_free_space(folder: Path, needed_bytes: int) -> None:
    """Raise InputError unless the disk of `folder` (which need not exist yet) has so much free."""
    existing = next(place for place in (folder, *folder.resolve().parents) if place.exists())
    free = shutil.disk_usage(existing).free
    if free < needed_bytes:
        raise InputError(
            f"the disk of {folder} has {free / 1e9:.2f} GB free, but {needed_bytes / 1e9:.2f} GB"
            " are needed: free some or choose another output folder"
        )


def provenance(
    program: str, config: Any, inputs: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """How a folder was made: by which program, code and libraries, and from what.

    `config` is the program's dataclass (its `seed` is repeated beside it) or a dict; `inputs` are
    the manifests, as `read_manifest` gives them, of the folders it read, each under its role.
    """
    settings = config_to_dict(config) if is_dataclass(config) else dict(config)
    result = {
        "program": program,
        "config": settings,
        "commit": _commit(),
        "versions": _versions(),
        "made_from": {
            role: {key: manifest.get(key) for key in ("kind", "fingerprint", "path")}
            for role, manifest in inputs.items()
        },
    }
    if "seed" in settings:
        result["seed"] = settings["seed"]
    return result


def inherit_licenses(*manifests: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The licences of all that something was made from, each once, in order."""
    result: list[dict[str, Any]] = []
    for manifest in manifests:
        result += [dict(item) for item in manifest["licenses"] if dict(item) not in result]
    return result


def write_manifest(
    folder: Path,
    kind: Kind,
    fingerprint: str,
    licenses: Iterable[License | Mapping[str, Any]],
    provenance: Mapping[str, Any],
    **extra: Any,
) -> None:
    """Say what a folder is; written last, it marks the folder as finished."""
    terms = [asdict(item) if isinstance(item, License) else dict(item) for item in licenses]
    manifest = {"kind": kind, "fingerprint": fingerprint, **extra}
    write_json(folder / MANIFEST, manifest | {"licenses": terms, "provenance": dict(provenance)})


def read_manifest(folder: Path, kind: Kind) -> dict[str, Any]:
    """A folder's manifest, with the folder's `path` added.

    Raises InputError if the folder is absent, unfinished or damaged, or not of that kind.
    """
    if not folder.is_dir():
        raise InputError(f"no such folder: {folder} (expected a {kind} folder)")
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"{folder} is not a finished {kind} folder: it has no {MANIFEST}; make it (again)"
        ) from None
    except ValueError:
        manifest = None
    required = ("kind", "fingerprint", "licenses", "provenance")
    if not isinstance(manifest, dict) or any(key not in manifest for key in required):
        raise InputError(f"{folder / MANIFEST} is damaged: make the {kind} folder again")
    if manifest["kind"] != kind:
        found = manifest["kind"] if manifest["kind"] in get_args(Kind) else "unknown kind of"
        raise InputError(f"{folder} is a {found} folder, but a {kind} folder is expected here")
    return manifest | {"path": str(folder)}


def fingerprint_of(value: Any) -> str:
    """16 hexadecimal digits that stand for a JSON value; the order of keys does not matter."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def fingerprint_of_files(paths: Iterable[Path]) -> str:
    """16 hexadecimal digits that stand for files' content and their names below a common folder.

    Neither the order of the paths nor where the common folder lies matters.
    """
    files = [path.absolute() for path in paths]
    common = os.path.commonpath([file.parent for file in files]) if files else ""
    digests = {}
    for file in files:
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        digests[file.relative_to(common).as_posix()] = digest
    return fingerprint_of(digests)


@contextmanager
def _named_failure(path: Path) -> Iterator[None]:
    """Where `path` cannot be made, say so; a full disk stays what it is."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        reason = error.strerror or str(error)
        raise InputError(f"output folder {path} cannot be made or written to: {reason}") from None


def _flush(path: Path) -> None:
    """Make the disk hold what was written to a file or renamed in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _commit() -> str | None:
    """The commit of the checkout that this file lies in ("-dirty" if changed); None outside one."""
    root = Path(__file__).parents[1]
    if not (root / ".git").exists():  # else a repository around an installed package would answer
        return None
    command: Sequence[str] = [
        "git",
        "describe",
        "--always",
        "--dirty",
        "--abbrev=40",
        "--exclude=*",
    ]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
