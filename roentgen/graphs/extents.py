"""Extents from the sides, severities and places of a finding, by their order in the text.

"moderate right and small left" pairs one severity with each side, "small right and left" has one
for both, and in "right and small left" it is of the left alone.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple, cast

from roentgen.graphs.word_meanings import WordKind
from roentgen.record.finding import Severity
from roentgen.record.statement import Extent
from roentgen.statements.hierarchy import ancestors


class Attribute(NamedTuple):
    """A side, severity, place or change, and the position of its words in the text."""

    position: int
    kind: WordKind
    value: str  # a Side, a Severity, a node of the hierarchy of places, or a Change


def extents_of(attributes: Iterable[Attribute]) -> tuple[Extent, ...]:
    """The extents of a finding. Without a side there is one, with the last severity of the text.

    With as many severities as sides, or as many places, each side has its own. Else a severity is
    of the sides after it up to the next one, and one after all sides of those without; a place is
    of the sides before it that have none, or of the last ones, and one before all sides of all.
    """
    ordered = sorted(set(attributes))
    sides = _first_of_each([a for a in ordered if a.kind == "side"])
    severities = [a for a in ordered if a.kind == "severity"]
    named = {a.value for a in ordered if a.kind == "place"}
    general = {above for name in named for above in ancestors(name)}
    found = [a for a in ordered if a.kind == "place" and a.value not in general]
    if not sides:
        severity = severities[-1].value if severities else None
        return (_extent(None, severity, [place.value for place in found]),)
    return tuple(
        _extent(side, severity, own)
        for group, severity, own in zip(
            sides, _severities(sides, severities), _places(sides, found), strict=True
        )
        for side in (("left", "right") if group.value == "bilateral" else (group.value,))
    )


def _first_of_each(sides: Iterable[Attribute]) -> list[Attribute]:
    """The sides without those that are named before; "left, ... bilateral" adds the right one."""
    seen: set[str] = set()
    result = []
    for side in sides:
        both = {"left", "right"} if side.value == "bilateral" else {side.value}
        if new := both - seen:
            result.append(side if new == both else side._replace(value=new.pop()))
        seen |= both
    return result


def _severities(sides: list[Attribute], severities: list[Attribute]) -> list[str | None]:
    """The severity of each side."""
    if len(severities) == len(sides):
        return [severity.value for severity in severities]
    result: list[str | None] = []
    for side in sides:
        before = [s.value for s in severities if s.position <= side.position]
        result.append(before[-1] if before else None)
    after = [s.value for s in severities if s.position > sides[-1].position]
    return [own or (after[-1] if after else None) for own in result]


def _places(sides: list[Attribute], found: list[Attribute]) -> list[list[str]]:
    """The places of each side."""
    if len(found) == len(sides):
        return [[place.value] for place in found]
    result: list[list[str]] = [[] for _ in sides]
    last = result
    for place in found:
        before = [own for own, s in zip(result, sides, strict=True) if s.position <= place.position]
        last = [own for own in before or result if not own] or last
        for own in last:
            own.append(place.value)
    return result


def _extent(side: str | None, severity: str | None, own: Iterable[str]) -> Extent:
    return Extent(
        side=cast("Literal['left', 'right'] | None", side),
        severity=cast("Severity | None", severity),
        places=tuple(dict.fromkeys(own)),
    )
