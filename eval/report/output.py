"""Results folder of an evaluation: checked before any work, its manifest written last."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from roentgen.checksums import read_checksums
from roentgen.errors import InputError
from roentgen.manifest import fingerprint_of, inherit_licenses, read_manifest, write_manifest
from roentgen.storage import MANIFEST, check_writable, write_file, write_json

File = str | bytes | dict[str, Any]  # a dict is written as JSON


def check_results(folder: Path, *, overwrite: bool) -> None:
    """Raise InputError unless results may be written to `folder`, which may hold other files.

    Existing results are replaced only if `overwrite`; a dataset or model never is.
    """
    if (folder / MANIFEST).exists():
        read_manifest(folder, "results")
        if not overwrite:
            raise InputError(
                f"output {folder} holds results: choose another, or set overwrite=true"
            )
    check_writable(folder)


def write_results(
    folder: Path,
    files: Mapping[str, File],
    numbers: Any,
    inputs: Mapping[str, Mapping[str, Any]],
    provenance: Mapping[str, Any],
) -> None:
    """Write the files, then the manifest; the old manifest is removed first.

    Names may include folders ("tables/fidelity.csv"). Files of earlier results that these do not
    have are removed. The fingerprint is that of `numbers`; licenses are those of `inputs`, which
    are manifests.
    """
    folder.mkdir(parents=True, exist_ok=True)
    old = _written(folder)
    (folder / MANIFEST).unlink(missing_ok=True)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, dict):
            write_json(folder / name, content)
        else:
            write_file(folder / name, content)
    for name in old - set(files):
        (folder / name).unlink(missing_ok=True)
    licenses = inherit_licenses(*inputs.values())
    prints = fingerprint_of(numbers)
    write_manifest(folder, "results", prints, licenses, provenance, files=sorted(files))


def _written(folder: Path) -> set[str]:
    """The files below `folder` that its checksums name."""
    if not (folder / MANIFEST).exists():
        return set()
    read_manifest(folder, "results")
    root = folder.resolve()
    named = read_checksums(folder)
    return {name for name in named if (folder / name).resolve().is_relative_to(root)}
