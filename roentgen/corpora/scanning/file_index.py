"""What lies in a corpus's folders, found by listing them once."""

import os
from collections.abc import Collection, Sequence
from itertools import islice
from pathlib import Path

from roentgen.errors import InputError

IMAGES = (".png", ".jpg", ".jpeg", ".dcm", ".dicom")


def wrong_root(name: str, root: Path, expected: str) -> InputError:
    """The error for a root folder that does not hold the corpus: expected what, found what."""
    if not root.is_dir():
        return InputError(f"{name} {root} is not a folder")
    try:
        with os.scandir(root) as entries:
            found = sorted(entry.name for entry in islice(entries, 1000))
    except OSError as error:
        return InputError(f"{name} {root} cannot be listed: {error.strerror}")
    more = ", ..." if len(found) > 6 else ""
    listing = (", ".join(found[:6]) + more) or "nothing"
    return InputError(f"{name} {root}: expected {expected}, found {listing}")


def optional_file(root: Path, given: str | None, published: Sequence[str]) -> Path | None:
    """The file given, which must be there, else the first of the published names that is there."""
    if given is None:
        return first_of(root, published)
    if not (root / given).exists():
        raise InputError(f"no such file or folder: {root / given}")
    return root / given


def first_of(root: Path, names: Sequence[str]) -> Path | None:
    """The first of the files or folders that is there."""
    return next((root / name for name in names if (root / name).exists()), None)


class FileIndex:
    """The files below a folder by their name without suffix.

    "" among the suffixes stands for names without one, such as a DICOM's bare UID.
    """

    def __init__(self, folder: Path, suffixes: Collection[str] = IMAGES) -> None:
        self._paths: dict[str, list[str]] = {}
        for directory, folders, files in os.walk(folder):
            folders.sort()
            below = os.path.relpath(directory, folder)
            for file in sorted(files):
                stem, _, suffix = file.rpartition(".")
                if f".{suffix.lower()}" not in suffixes:
                    if "" not in suffixes or suffix.lower() in ("csv", "txt", "json", "zip"):
                        continue
                    stem = file  # a UID has dots of its own
                path = file if below == "." else f"{below}/{file}"
                self._paths.setdefault(stem, []).append(path)

    def __len__(self) -> int:
        return len(self._paths)

    def others(self, known: Collection[str]) -> list[str]:
        """The names that are not among those known."""
        return sorted(self._paths.keys() - known)

    def find(self, stem: str) -> str | None:
        """The path below the folder, None if there is none. Raises InputError if there are two."""
        paths = self._paths.get(stem, [])
        if len(paths) > 1:
            raise InputError(f"several files of one name: {', '.join(paths[:3])}")
        return paths[0] if paths else None
