"""What every corpus reader gives to `roentgen.prepare`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from roentgen.data.radiograph import Radiograph
from roentgen.runs import License


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """Something that does not come into the dataset, and why.

    `asked` is true where the configuration asked for it (a filter); the others count as bad.
    """

    id: str
    reason: str
    asked: bool = False


class Plan(NamedTuple):
    """The work on a corpus, found without reading an image.

    Each item is an id or has an attribute `id`; `unmapped` counts the source's words that have no
    meaning among ours, with what happened to them.
    """

    items: Sequence[Any]
    left_out: Sequence[LeftOut]
    unmapped: Mapping[tuple[str, str], int] = MappingProxyType({})


class CorpusReader(Protocol):
    """A corpus. Readers go to worker processes, so they hold plain values."""

    @property
    def licenses(self) -> Sequence[License]:
        """The terms the corpus is under."""

    def plan(self) -> tuple[Any, ...]:
        """(items, left out) or a Plan: a cheap scan that raises InputError for a wrong corpus."""

    def read(self, item: Any) -> list[Radiograph]:
        """The radiographs of one item. Raises InputError for a bad one, which is left out."""
