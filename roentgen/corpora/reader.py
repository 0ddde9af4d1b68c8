"""Corpus reader: the interface between a corpus and `roentgen.prepare`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from roentgen.manifest import License
from roentgen.record.radiograph import Radiograph


@dataclass(frozen=True, kw_only=True)
class Exclusion:
    """Something that does not enter the dataset, and why.

    `expected`: the configuration excludes it; `missing`: a partial copy does not hold it. The
    others count as bad.
    """

    id: str
    reason: str
    expected: bool = False
    missing: bool = False

    @property
    def is_bad(self) -> bool:
        """Whether it counts as bad."""
        return not (self.expected or self.missing)

    def __post_init__(self) -> None:
        for name in ("id", "reason"):  # names of files need not be text
            text = getattr(self, name).encode("utf-8", "backslashreplace").decode("utf-8")
            object.__setattr__(self, name, text)


class Unmapped(NamedTuple):
    """A value of an accepted item that the dataset cannot represent, or that is missing."""

    field: str  # finding, view, age, sex, race, report, labels, mask or graph
    word: str  # "" for a missing value
    why: str


class CorpusPlan(NamedTuple):
    """The items of a corpus, found without reading an image.

    Each item is an id or has an attribute `id`; `unmapped` counts the values that items lose.
    """

    items: Sequence[Any]
    excluded: Sequence[Exclusion] = ()
    unmapped: Mapping[Unmapped, int] = MappingProxyType({})


class CorpusReader(Protocol):
    """A corpus. Readers are sent to worker processes, so they hold plain values."""

    @property
    def licenses(self) -> Sequence[License]:
        """The terms of the corpus."""

    def plan(self) -> CorpusPlan:
        """A cheap scan. Raises InputError for a folder that is not the corpus."""

    def read(self, item: Any) -> Sequence[Radiograph | Unmapped]:
        """The radiographs of one item, and the values of its image file that are lost.

        Raises InputError for a bad item, UnwantedError for one that the configuration excludes.
        """
