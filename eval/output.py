"""The folder of an evaluation: checked before any work, marked as finished last."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from roentgen.errors import InputError
from roentgen.runs import (
    MANIFEST,
    check_writable,
    fingerprint_of,
    inherit_licenses,
    read_manifest,
    write_file,
    write_json,
    write_manifest,
)

File = str | bytes | dict[str, Any]  # a dict is written as JSON


def check_results(folder: Path, *, overwrite: bool) -> None:
    """Raise InputError unless results may be written to `folder`, which may hold other things.

    Results that are there are replaced only if `overwrite`; a dataset or model never is.
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
    """Write the files, then the manifest; meanwhile no old one vouches for them.

    The fingerprint is of `numbers`; licences are those of `inputs`, which are manifests.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    for name, content in files.items():
        if isinstance(content, dict):
            write_json(folder / name, content)
        else:
            write_file(folder / name, content)
    licenses = inherit_licenses(*inputs.values())
    write_manifest(folder, "results", fingerprint_of(numbers), licenses, provenance)
