"""Scan of a corpus's tables: items accepted, items excluded, values lost."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from roentgen.corpora.reader import CorpusPlan, Exclusion, Unmapped, UnwantedError
from roentgen.corpora.scanning.image_files import MissingFileError
from roentgen.corpora.scanning.rows import read_rows
from roentgen.errors import InputError

WRONG_LENGTH = "the row has not as many fields as the header"
_NO_OBJECT = "the row is not a JSON object of texts"
_CONFLICT = "the id appears twice, with different rows"


class Scan:
    """Gathers a plan row by row; of rows that contradict each other none is accepted.

    `complete` makes missing files bad items.
    """

    def __init__(self, *, complete: bool) -> None:
        self.items: dict[str, Any] = {}
        self.excluded: list[Exclusion] = []
        self.unmapped: Counter[Unmapped] = Counter()
        self._complete = complete
        self._files_missing = False
        self._in_conflict: set[str] = set()

    @property
    def finds_no_file(self) -> bool:
        """Whether the tables name images and the folders hold none of them."""
        return self._files_missing and not self.items

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
            self._files_missing = True
            self.exclude_optional(name, str(error))
        except InputError as error:
            self.exclude(name, str(error), expected=isinstance(error, UnwantedError))

    def exclude(self, name: str, reason: str, *, expected: bool = False) -> None:
        """List something as excluded."""
        self.excluded.append(Exclusion(id=name, reason=reason, expected=expected))

    def exclude_optional(self, name: str, reason: str) -> None:
        """List something as excluded that only a complete corpus must have."""
        self.exclude(name, reason, expected=not self._complete)

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
        return CorpusPlan(list(self.items.values()), self.excluded, self.unmapped)
