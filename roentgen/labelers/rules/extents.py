"""Extents of a finding: its sides with their severities and places, from the words beside it.

"moderate right and small left" are two sides with a severity each; "small right and left" two with
one; "bilateral, larger on the right" both sides.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, cast

from roentgen.labelers.rules.lexicon import Phrase
from roentgen.record.finding import Severity
from roentgen.record.statement import Change, Extent

_SIDES = ("left", "right", "bilateral")
_JOINS = ("and", "or", "slash", "comma")
OneSide = Literal["left", "right"]


@dataclass(slots=True)
class _Group:
    """Words that belong to one side, or to none."""

    sides: list[str] = field(default_factory=list)
    severity: Severity | None = None
    places: list[str] = field(default_factory=list)


def extents_of(
    before: Sequence[Phrase], after: Sequence[Phrase], around: Sequence[Phrase]
) -> tuple[Extent, ...]:
    """The extents that modifiers give: those before the noun, after it, and of the clause.

    The clause's count only where the noun has no side and no place of its own.
    """
    front, back = _groups(before), _groups(after)
    _share(front)
    if not any(group.sides for group in (*front, *back)):
        placed = any(group.places for group in (*front, *back))  # "right lung: opacity at the base"
        back += [_Group(g.sides, None, [] if placed else g.places) for g in _groups(around)]
    named = {side for group in (*front, *back) for side in group.sides}
    if len(named) == 1 and any(p.kind == "comparison" for p in after):
        back.append(_Group(["bilateral"]))  # "greater on the left" is on both
    severities: dict[str, Severity] = {}
    places: dict[str, list[str]] = {}
    general = _Group()
    for group in back:  # "a large right effusion is now small"
        if group.severity and not group.sides:
            for one in front:
                one.severity = group.severity
    for group in (*front, *back):
        sides = ["left", "right"] if "bilateral" in group.sides else group.sides
        for side in sides:
            if group.severity:
                severities[side] = group.severity
            places.setdefault(side, []).extend(group.places)
        if not sides:
            general.severity = group.severity or general.severity
            general.places += group.places
    if not places:
        return (Extent(None, general.severity, _once(general.places)),)
    return tuple(
        Extent(
            cast(OneSide, side),
            severities.get(side, general.severity),
            _once([*places[side], *general.places]),
        )
        for side in sorted(places, reverse=True)
    )


def size_of(modifiers: Sequence[Phrase]) -> float | None:
    """The largest size in millimeters."""
    return max((float(p.names[0]) for p in modifiers if p.kind == "size"), default=None)


def change_of(modifiers: Sequence[Phrase]) -> Change | None:
    """What changed since an earlier study; the last word counts."""
    changes = [p.names[0] for p in modifiers if p.kind == "change"]
    return cast(Change, changes[-1]) if changes else None


def _groups(modifiers: Sequence[Phrase]) -> list[_Group]:
    groups = [_Group()]
    joined = measured = adverb = False
    for k, phrase in enumerate(modifiers):
        group = groups[-1]
        match phrase.kind:
            case "side" | "place":
                sides = [name for name in phrase.names if name in _SIDES]
                if group.sides and sides and (joined or group.severity or phrase.kind == "place"):
                    group = _Group()
                    groups.append(group)
                group.sides += [side for side in sides if side not in group.sides]
                group.places += _places(phrase, modifiers[k + 1 :])
            case "severity":
                if group.sides and joined:
                    group = _Group()
                    groups.append(group)
                group.severity = cast(Severity, phrase.names[0])
            case kind if kind in _JOINS:
                joined = True
                continue
            case "comparison":
                group.severity = None
            case "change" if measured and (adverb or "amount" in phrase.names):
                group.severity = None  # "slightly increased" is no severity of the finding
        joined = False
        measured = phrase.kind == "severity"
        adverb = measured and "adverb" in phrase.names
    return [group for group in groups if group.sides or group.severity or group.places]


def _places(phrase: Phrase, following: Sequence[Phrase]) -> list[str]:
    """The places of a phrase; "upper" alone is one before another: "upper and lower lobe"."""
    places = [name for name in phrase.names if name not in _SIDES]
    if "elliptic" not in places:
        return places
    for other in following:
        for name in other.names if other.kind == "place" else ():
            if name.endswith(("lobe", "zone")) and "elliptic" not in other.names:
                return [f"{places[0]} {name.split()[-1]}".replace("mid lobe", "middle lobe")]
    return []


def _share(groups: Sequence[_Group]) -> None:
    """Give each side what stands before several: "small right and left", "left and right base"."""
    for group, following in pairwise(groups):
        if following.severity is None and following.sides:
            following.severity = group.severity
    for following, group in pairwise(groups[::-1]):
        if not group.places and group.sides and group.severity is following.severity:
            group.places = list(following.places)


def _once(places: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(places))
