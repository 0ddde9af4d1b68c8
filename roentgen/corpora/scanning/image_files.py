"""Files of a corpus, found by listing its folders once."""

import os
from collections.abc import Collection, Sequence
from itertools import islice
from pathlib import Path, PurePosixPath

from roentgen.errors import InputError

IMAGES = (".png", ".jpg", ".jpeg", ".dcm", ".dicom")


class MissingFileError(InputError):
    """A file of the corpus is missing."""


def wrong_root(setting: str, root: Path, expected: str) -> InputError:
    """The error for a folder that does not hold the corpus: expected and found content."""
    if not root.is_dir():
        return InputError(f"{setting} {root} is not a folder")
    try:
        with os.scandir(root) as entries:
            found = sorted(entry.name for entry in islice(entries, 1000))
    except OSError as error:
        return InputError(f"{setting} {root} cannot be listed: {error.strerror}")
    more = ", ..." if len(found) > 6 else ""
    listing = (", ".join(found[:6]) + more) or "nothing"
    return InputError(f"{setting} {root}: expected {expected}, found {listing}")


def optional_file(root: Path, given: str | None, published: Sequence[str]) -> Path | None:
    """The file given, which must exist, else the first of the published names that exists."""
    if given is None:
        return first_of(root, published)
    if not (root / given).exists():
        raise InputError(f"no such file or folder: {root / given}")
    return root / given


def first_of(root: Path, names: Sequence[str]) -> Path | None:
    """The first of the files or folders that exists."""
    return next((root / name for name in names if (root / name).exists()), None)


class FolderListing:
    """The files below a folder by their path; each folder in question is listed once.

    A folder that its parent does not hold is not looked for: a partial copy costs little.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._names: dict[str, frozenset[str]] = {}

    def has(self, path: str) -> bool:
        """Whether `path`, below the root and with "/" as separator, exists."""
        folder, _, name = path.rpartition("/")
        return name in self.names(folder)

    def find(self, *paths: str) -> str:
        """The first of the paths that exists. Raises MissingFileError if none does."""
        for path in paths:
            if self.has(path):
                return path
        raise MissingFileError("file missing")

    def names(self, folder: str) -> frozenset[str]:
        """The entries of a folder; none if it is missing. Raises InputError if it is locked."""
        known = self._names.get(folder)
        if known is None:
            known = self._list(folder) if not folder or self.has(folder) else frozenset()
            self._names[folder] = known
        return known

    def _list(self, folder: str) -> frozenset[str]:
        try:
            with os.scandir(self.root / folder) as entries:
                return frozenset(entry.name for entry in entries)
        except (FileNotFoundError, NotADirectoryError):
            return frozenset()
        except OSError as error:
            raise InputError(f"cannot list {self.root / folder}: {error.strerror}") from None


class FileIndex:
    """The files of a folder and all folders in it by their name without suffix.

    "" among the suffixes stands for names without one, such as a DICOM's bare UID.
    """

    def __init__(self, root: Path, folder: Path, suffixes: Collection[str] = IMAGES) -> None:
        """`folder` is indexed; paths are given from the `root` of the corpus."""
        self.folder = folder
        self._paths: dict[str, list[str]] = {}
        for directory, folders, files in os.walk(folder):
            folders.sort()
            below = os.path.relpath(directory, root)
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

    def find(self, *stems: str) -> str:
        """The path of the first name that exists.

        Raises MissingFileError if none does, InputError if two files have the name.
        """
        for stem in stems:
            paths = self._paths.get(stem, [])
            if len(paths) > 1:
                raise InputError(f"several files of one name: {', '.join(paths[:3])}")
            if paths:
                return paths[0]
        raise MissingFileError("file missing")


def check_path(path: str) -> None:
    """Raises InputError for a path that could leave its root folder or cannot be a file name."""
    if "\0" in path:
        raise InputError(f"path {path!r} is not a file name")
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise InputError(f"path {path!r} leads out of the corpus folder")
