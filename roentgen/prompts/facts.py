"""Facts: the statements of a report as the text of a prompt, in the report's order.

    moderate right and small left pleural effusion, possible pneumonia, no pneumothorax

Findings have the words of the hierarchy, which are the grammar's where it has any. Nothing is said
of earlier studies: changes are not written, and what is only called unchanged is no fact.
"""

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from roentgen.prompts.vocabulary import STATE_WORDS, attribute_words, is_graded
from roentgen.record.finding import Side, State
from roentgen.record.statement import Extent, Statement
from roentgen.statements.hierarchy import ancestors, labels_of
from roentgen.statements.labels import NEVER_SIDED, prompt_places
from roentgen.statements.merged_extents import merged_extents

_STRONGER: dict[State, tuple[State, ...]] = {
    "present": (),
    "uncertain": ("present",),
    "absent": ("present", "uncertain"),
}


@dataclass(frozen=True)
class _Fact:
    finding: str
    state: State
    extents: tuple[Extent, ...]  # merged: one, or left and right

    @property
    def bare(self) -> bool:
        return self.extents == (Extent(),)


def facts_text(statements: Iterable[Statement], omitted: Container[State] = ()) -> str:
    """The facts of statements as a list: one phrase for each finding and state, at its first place.

    Those in `omitted` states are not written. Statements of a finding in one state are one fact,
    with the largest severity of each side. Of two states of a finding on the same side present
    outweighs uncertain, and uncertain absent. What another fact of the same label implies is not
    repeated: an effusion where a loculated effusion is, no rib fracture where no fracture is.
    Raises InputError for a finding or place that the hierarchy does not have.
    """
    facts = [fact for fact in _facts(statements) if fact.state not in omitted]
    return ", ".join(
        phrase for fact in facts if not _is_implied(fact, facts) for phrase in _phrases(fact)
    )


def _facts(statements: Iterable[Statement]) -> list[_Fact]:
    found: dict[tuple[str, State], list[Extent]] = {}
    for statement in statements:
        if statement.state != "stable":
            given = found.setdefault((statement.finding, statement.state), [])
            given += _extents(statement)
    facts = []
    for (finding, state), extents in found.items():
        stronger = [e for other in _STRONGER[state] for e in found.get((finding, other), ())]
        if valid := [e for e in extents if all(_apart(e, other) for other in stronger)]:
            merged = (replace(e, places=prompt_places(e.places)) for e in merged_extents(valid))
            facts.append(_Fact(finding, state, tuple(merged)))
    return facts


def _extents(statement: Statement) -> Iterator[Extent]:
    """The extents of a statement in the words of prompts."""
    sided = not set(labels_of(statement.finding)) & set(NEVER_SIDED)
    for extent in statement.extents:
        side = extent.side if sided else None
        yield replace(extent, side=side, places=prompt_places(extent.places))


def _apart(one: Extent, other: Extent) -> bool:
    """Whether they are of the two sides."""
    return {one.side, other.side} == {"left", "right"}


def _is_implied(fact: _Fact, facts: Sequence[_Fact]) -> bool:
    alike = [other for other in facts if other.state == fact.state]
    if fact.state == "absent":
        return any(other.bare and _is_kind_of(fact, other) for other in alike)
    return fact.bare and any(_is_kind_of(other, fact) for other in alike)


def _is_kind_of(special: _Fact, general: _Fact) -> bool:
    """Whether a finding is below another one that has no other label."""
    below = general.finding in ancestors(special.finding)
    return below and set(labels_of(general.finding)) <= set(labels_of(special.finding))


def _phrases(fact: _Fact) -> Iterator[str]:
    """One phrase, or two of sides that one cannot describe, as in the grammar."""
    left, right = fact.extents[0], fact.extents[-1]
    alike = (left.severity, left.places) == (right.severity, right.places)
    if len(fact.extents) == 1:
        yield _phrase(fact, _attributes(fact, left, left.side))
    elif alike:  # no finding is on neither side
        yield _phrase(
            fact, _attributes(fact, left, None if fact.state == "absent" else "bilateral")
        )
    else:
        sides = [_attributes(fact, extent, extent.side) for extent in (right, left)]
        known = [(extent.severity is None, not extent.places) for extent in fact.extents]
        if fact.state != "absent" and known[0] == known[1]:
            sides = [" and ".join(sides)]
        yield from (_phrase(fact, attributes) for attributes in sides)


def _phrase(fact: _Fact, attributes: str) -> str:
    words = (STATE_WORDS[fact.state], attributes, fact.finding)
    return " ".join(word for word in words if word)


def _attributes(fact: _Fact, extent: Extent, side: Side | None) -> str:
    graded = is_graded(fact.finding)
    return attribute_words(extent.severity, side, " and ".join(extent.places), graded=graded)
