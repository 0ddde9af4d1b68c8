"""Extents of several words or statements of one finding, merged into one for each side."""

from collections.abc import Iterable, Sequence
from typing import Literal

from roentgen.record.finding import SEVERITIES, Severity
from roentgen.record.statement import Extent

_SIDES: tuple[Literal["left", "right"], ...] = ("left", "right")


def merged_extents(extents: Iterable[Extent]) -> tuple[Extent, ...]:
    """The left, the right or both, each with its largest severity and all its places.

    Or one without a side, where none is named. What is given without a side is of the one that is
    named, and of both where neither has its own.
    """
    given = list(extents)
    own = {side: [e for e in given if e.side == side] for side in _SIDES}
    named = {side: own[side] for side in _SIDES if own[side]}
    if not named:
        return (Extent(None, _largest(given), _places(given)),)
    general = [extent for extent in given if extent.side is None]
    alone = len(named) == 1
    with_severity = alone or not any(_largest(each) for each in named.values())
    with_places = alone or not any(_places(each) for each in named.values())
    return tuple(
        Extent(
            side,
            _largest([*each, *(general if with_severity else ())]),
            _places([*each, *(general if with_places else ())]),
        )
        for side, each in named.items()
    )


def located_extents(
    located: Iterable[tuple[Sequence[Literal["left", "right"]], Sequence[str]]],
) -> tuple[Extent, ...]:
    """Extents of the (sides, places) that several words give: one for each side that is named.

    Places without a side are of every side.
    """
    given = [(frozenset(sides), places) for sides, places in located]
    named: list[Literal["left", "right"]] = ["left", "right"]
    sides = [side for side in named if any(side in own for own, _ in given)]
    return tuple(
        Extent(
            side=side,
            places=tuple(
                dict.fromkeys(
                    place for own, places in given if not own or side in own for place in places
                )
            ),
        )
        for side in sides or (None,)
    )


def _largest(extents: Sequence[Extent]) -> Severity | None:
    severities = [extent.severity for extent in extents if extent.severity]
    return max(severities, key=SEVERITIES.index, default=None)


def _places(extents: Sequence[Extent]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(place for extent in extents for place in extent.places))
