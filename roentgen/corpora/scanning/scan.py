"""The scan of a large corpus's tables: what is taken, what is excluded, which files are there."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from roentgen.corpora.reader import Exclusion, Plan, Unmapped
from roentgen.errors import InputError
from roentgen.record.views import View

FILE_MISSING = "file missing"
VIEW_MISSING = "view not given"


class UnwantedError(InputError):
    """The configuration does not want this item: a filter, which is no damage."""


class Listing:
    """The files below a folder, found by listing each folder that is asked for once.

    A folder that its parent does not hold is not looked for: a partial copy costs little.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._names: dict[str, frozenset[str]] = {}

    def has(self, path: str) -> bool:
        """Whether `path`, below the root and with "/" between its parts, is there."""
        folder, _, name = path.rpartition("/")
        return name in self.names(folder)

    def names(self, folder: str) -> frozenset[str]:
        """What a folder holds; nothing if it is not there. Raises InputError if it is locked."""
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


class Scan:
    """Gathers a plan row by row; of an id that stands twice no row is guessed to be the right one.

    `files_missing` counts the files that are not there; `whole` makes them bad items.
    """

    def __init__(self, *, whole: bool) -> None:
        self.items: dict[str, Any] = {}
        self.excluded: list[Exclusion] = []
        self.unmapped: Counter[Unmapped] = Counter()
        self.files_missing = 0
        self._whole = whole
        self._in_conflict: set[str] = set()
        self._splits: dict[str, str] = {}

    def keep(self, item: Any, unmapped: Iterable[Unmapped] = ()) -> None:
        """Take an item, which has an `id`; what is lost of it counts if it is taken."""
        if item.id in self._in_conflict:
            self.drop(item.id, "the id stands twice, with different rows")
        elif item.id not in self.items:
            self.items[item.id] = item
            self.unmapped.update(unmapped)
        elif self.items[item.id] == item:
            self.drop(item.id, "the id stands twice in the table")
        else:
            self._in_conflict.add(item.id)
            del self.items[item.id]
            self.drop(item.id, "the id stands twice, with different rows")
            self.drop(item.id, "the id stands twice, with different rows")

    def drop(self, name: str, reason: str, *, expected: bool = False) -> None:
        """Leave something out."""
        self.excluded.append(Exclusion(id=name, reason=reason, expected=expected))

    def missing(self, name: str) -> None:
        """Exclude an item whose file is not there."""
        self.files_missing += 1
        self.absent(name, FILE_MISSING)

    def absent(self, name: str, reason: str) -> None:
        """Exclude what a part of the corpus need not have."""
        self.drop(name, reason, expected=not self._whole)

    def plan(self) -> Plan:
        """What was gathered."""
        return Plan(list(self.items.values()), self.excluded, self.unmapped)


def wanted_view(
    word: str, words: Mapping[str, View | None], views: tuple[View, ...], *, blank: bool
) -> View | None:
    """The view that a corpus's word means; None for a blank one where `blank` ones are taken.

    Raises UnwantedError for a view that the configuration does not take and for one excluded by
    name, InputError for a word that is not known.
    """
    if not word:
        if blank:
            return None
        raise UnwantedError(VIEW_MISSING)
    try:
        view = words[word]
    except KeyError:
        raise InputError(f"unknown view {word!r}: say in view_words what it means") from None
    if view is None:
        raise UnwantedError(f"view {word!r} is excluded by name")
    if view not in views:
        raise UnwantedError(f"view {view} is not among the views wanted")
    return view
