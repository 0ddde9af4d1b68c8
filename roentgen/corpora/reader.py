"""What every corpus reader gives to `roentgen.prepare`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from roentgen.manifest import License
from roentgen.record.radiograph import Radiograph


@dataclass(frozen=True, kw_only=True)
class Exclusion:
    """Something that does not enter the dataset, and why.

    `expected`: the configuration excludes it (a filter, a partial copy); the others count as bad.
    """

    id: str
    reason: str
    expected: bool = False

    def __post_init__(self) -> None:
        for name in ("id", "reason"):  # names of files need not be text
            text = getattr(self, name).encode("utf-8", "backslashreplace").decode("utf-8")
            object.__setattr__(self, name, text)


class Unmapped(NamedTuple):
    """What a corpus says of something taken that the dataset cannot say, or does not say at all."""

    field: str  # finding, view, age, sex, race, report or labels
    word: str  # "" where the corpus says nothing
    why: str


class Plan(NamedTuple):
    """The work on a corpus, found without reading an image.

    Each item is an id or has an attribute `id`; `unmapped` counts what is lost of the items.
    """

    items: Sequence[Any]
    excluded: Sequence[Exclusion]
    unmapped: Mapping[Unmapped, int] = MappingProxyType({})


class CorpusReader(Protocol):
    """A corpus. Readers go to worker processes, so they hold plain values."""

    @property
    def licenses(self) -> Sequence[License]:
        """The terms the corpus is under."""

    def plan(self) -> tuple[Any, ...]:
        """(items, exclusions) or a Plan: a cheap scan that raises InputError for a wrong corpus."""

    def read(self, item: Any) -> Sequence[Radiograph | Unmapped]:
        """The radiographs of one item, and what only its image file told and is lost.

        Raises InputError for a bad item, which is excluded.
        """
