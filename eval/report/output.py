"""Results folder of an evaluation: checked before any work, written whole."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from roentgen.errors import InputError
from roentgen.manifest import fingerprint_of, inherit_licenses, read_manifest, write_manifest
from roentgen.storage import MANIFEST, atomic_folder, check_output, write_file, write_json

File = str | bytes | dict[str, Any]  # a dict is written as JSON


def check_results(folder: Path, *, overwrite: bool) -> None:
    """Raise InputError as `check_output` does; only results, and nothing else, are replaced."""
    check_output(folder, overwrite=overwrite)
    if not (folder / MANIFEST).exists():
        return
    read_manifest(folder, "results")
    for inner in folder.glob(f"*/{MANIFEST}"):
        raise InputError(
            f"output {folder} would be replaced, but holds {inner.parent}: choose another output"
        )


def write_results(
    folder: Path,
    files: Mapping[str, File],
    numbers: Any,
    inputs: Mapping[str, Mapping[str, Any]],
    provenance: Mapping[str, Any],
    *,
    overwrite: bool,
) -> None:
    """Write the folder atomically, of files whose names may include folders ("tables/x.csv").

    The fingerprint is that of `numbers`; licenses are those of `inputs`, which are manifests.
    """
    with atomic_folder(folder, overwrite=overwrite) as new:
        for name, content in files.items():
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, dict):
                write_json(new / name, content)
            else:
                write_file(new / name, content)
        licenses = inherit_licenses(*inputs.values())
        prints = fingerprint_of(numbers)
        write_manifest(new, "results", prints, licenses, provenance)
