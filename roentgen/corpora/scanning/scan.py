"""Scan of a corpus: its files, found by listing each folder once, and the rows of its tables.

Rows become items accepted, items excluded and values lost.
"""

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from roentgen.corpora.reader import CorpusPlan, Exclusion, Unmapped
from roentgen.corpora.scanning.rows import read_rows
from roentgen.errors import InputError, UnwantedError

IMAGES = (".png", ".jpg", ".jpeg", ".dcm", ".dicom")
WRONG_LENGTH = "the row has not as many fields as the header"
_NO_OBJECT = "the row is not a JSON object of texts"
_NUMBER = re.compile(r"0*(\d+?)(?:\.0+)?")
_CONFLICT = "the id appears twice, with different rows"


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
            raise InputError(f"cannot list {folder or self.root.name}: {error.strerror}") from None


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
    if "\0" in path or not PurePosixPath(path).name:  # such as "." and "/"
        raise InputError(f"path {path!r} is not a file name")
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise InputError(f"path {path!r} leads out of the corpus folder")


class Scan:
    """Gathers a plan row by row; of rows that contradict each other none is accepted.

    `complete` makes missing files bad items.
    """

    def __init__(self, *, complete: bool) -> None:
        self.items: dict[str, Any] = {}
        self.excluded: list[Exclusion] = []
        self.unmapped: Counter[Unmapped] = Counter()
        self._complete = complete
        self.files_missing = False
        self._in_conflict: set[str] = set()

    @property
    def finds_no_file(self) -> bool:
        """Whether the tables name images and the folders hold none of them."""
        return self.files_missing and not self.items

    def rows(self, table: Path, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
        """("TABLE row NUMBER", row) of each row; one of another length is excluded."""
        reason = _NO_OBJECT if table.suffix == ".jsonl" else WRONG_LENGTH
        for number, row in enumerate(read_rows(table, columns), start=1):
            name = f"{table.name} row {number}"
            if row is None:
                self.exclude(name, reason)
            else:
                yield name, row

    @contextmanager
    def excluding(self, name: str) -> Iterator[None]:
        """Exclude `name` where the block raises InputError."""
        try:
            yield
        except MissingFileError as error:
            self.files_missing = True
            self.exclude_optional(name, str(error))
        except InputError as error:
            self.exclude(name, str(error), expected=isinstance(error, UnwantedError))

    def exclude(
        self, name: str, reason: str, *, expected: bool = False, missing: bool = False
    ) -> None:
        """List something as excluded."""
        item = Exclusion(id=name, reason=reason, expected=expected, missing=missing)
        self.excluded.append(item)

    def exclude_optional(self, name: str, reason: str) -> None:
        """List something as excluded that only a complete corpus must have."""
        self.exclude(name, reason, missing=not self._complete)

    def accept(self, item: Any, unmapped: Iterable[Unmapped] = ()) -> None:
        """Add an item, which has an `id`; the values it loses count if it is added."""
        if item.id in self._in_conflict:
            self.exclude(item.id, _CONFLICT)
        elif item.id not in self.items:
            self.items[item.id] = item
            self.unmapped.update(unmapped)
        elif self.items[item.id] == item:
            self.exclude(item.id, "the id appears twice in the table")
        else:
            self._in_conflict.add(item.id)
            del self.items[item.id]
            self.exclude(item.id, _CONFLICT)
            self.exclude(item.id, _CONFLICT)

    def _count_patient_spellings(self) -> None:
        """Count patients whose ids differ in zeros or case alone, such as 7 and 7.0, P1 and p1."""
        spellings: dict[str, set[str]] = {}
        for item in self.items.values():
            number = _NUMBER.fullmatch(item.patient)
            spelling = number[1] if number else item.patient.casefold()
            spellings.setdefault(spelling, set()).add(item.patient)
        for same in spellings.values():
            if len(same) > 1:
                why = "ids that differ in zeros or case alone are different patients: misspelled?"
                self.unmapped[Unmapped("patient", ", ".join(sorted(same)), why)] += len(same)

    def check_splits(self, where: str) -> None:
        """Raise InputError, beginning with `where`, for a patient in two splits."""
        splits: dict[str, str] = {}
        for item in self.items.values():
            split = splits.setdefault(item.patient, item.split)
            if split != item.split:
                raise InputError(
                    f"{where}: patient {item.patient!r} is in both {split} and {item.split}; "
                    "use split.fractions"
                )

    def plan(self) -> CorpusPlan:
        """All that was gathered."""
        self._count_patient_spellings()
        return CorpusPlan(list(self.items.values()), self.excluded, self.unmapped)


def id_of_path(path: str) -> str:
    """The id of an image that is named by its path, which loses its suffix; "" for no file name."""
    return str(PurePosixPath(path).with_suffix("")) if PurePosixPath(path).name else ""
