"""Output folders: written whole or not at all, and each says what it is and what it came from."""

import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from roentgen.config import config_to_dict
from roentgen.errors import InputError
from roentgen.storage import MANIFEST, write_json

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
