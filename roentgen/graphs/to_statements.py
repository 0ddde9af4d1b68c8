"""Graphs in the form of RadGraph as statements.

An observation that modifies no other one names a finding, with the words that it is located at or
that modify it: RadGraph has "effusion" located at "pleural". Anatomy gives sides and places,
modifiers give severity, size and change.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from roentgen.errors import InputError
from roentgen.graphs.extents import Attribute, extents_of
from roentgen.graphs.graph import Entity, Graph, RelationType, label_meaning
from roentgen.graphs.problems import problems
from roentgen.prompts.vocabulary import Modifier, prompt_phrases
from roentgen.statements.hierarchy import places
from roentgen.statements.statement import Change, Statement, StatementState

# The node of the hierarchy that words in lower case name; None for words that name none.
Lookup = Callable[[str], str | None]

_CHANGES: dict[Change, tuple[str, ...]] = {
    "new": ("new", "newly"),
    "increased": ("increased", "increasing", "larger", "worse", "worsened", "worsening"),
    "decreased": ("decreased", "decreasing", "smaller", "improved", "improving"),
    "unchanged": ("unchanged", "stable", "persistent", "similar"),
    "resolved": ("resolved", "cleared"),
}
_CHANGE_OF: dict[str, Change] = {word: change for change, ws in _CHANGES.items() for word in ws}
_SIZE = re.compile(r"((?:\d+(?:\.\d+)?x)*\d+(?:\.\d+)?)(mm|cm)")
_MM = {"mm": 1.0, "cm": 10.0}
_LONGEST = 4  # words of a side, severity or place


@dataclass(frozen=True, kw_only=True)
class GraphReading:
    """The statements of a graph, and the tokens of observations that name no known finding."""

    statements: tuple[Statement, ...]
    unnamed: tuple[str, ...]


def place_of(words: str) -> str | None:
    """The place that words in lower case name, in the hierarchy's or the prompts' words."""
    for form in (words, words.removesuffix("s")):
        if form in places():
            return form
        for meaning in prompt_phrases().get(tuple(form.split()), ()):
            if isinstance(meaning, Modifier) and meaning.kind == "place":
                return meaning.value
    return None


def statements_of_graph(
    graph: Graph, finding_of: Lookup, place_of: Lookup = place_of, source: str = ""
) -> GraphReading:
    """The statements of a graph, in the order of its text. `source` is that of each.

    Raises InputError for a graph that has `problems`.
    """
    if found := problems(graph):
        raise InputError(f"a graph with problems has no statements: {found[0]}")
    reader = _GraphReader(graph, finding_of, place_of, source)
    read = [(entity, reader.statement(entity)) for entity in reader.observations()]
    return GraphReading(
        statements=tuple(statement for _, statement in read if statement),
        unnamed=tuple(entity.tokens for entity, statement in read if not statement),
    )


class _GraphReader:
    def __init__(self, graph: Graph, finding_of: Lookup, place_of: Lookup, source: str) -> None:
        self._finding_of = finding_of
        self._place_of = place_of
        self._source = source
        self._entities = sorted(graph.entities, key=_position)
        self._by_id = graph.by_id()
        self._modifiers: dict[str, list[Entity]] = {}
        for entity in self._entities:
            for target in self._targets(entity, "modify"):
                self._modifiers.setdefault(target.id, []).append(entity)

    def observations(self) -> Iterator[Entity]:
        """The observations that modify no other one, in the order of the text."""
        for entity in self._entities:
            modified = self._targets(entity, "modify")
            if _is_observation(entity) and not any(map(_is_observation, modified)):
                yield entity

    def statement(self, entity: Entity) -> Statement | None:
        """What an observation states; None if it names no known finding.

        A change that is located at what names a finding leaves its state unknown.
        """
        meaning = label_meaning(entity.label)
        assert meaning is not None
        if statement := self._stated(entity, meaning.state):
            return statement
        if _change([entity]) == "unchanged" and meaning.state == "present":
            named = (self._stated(e, "stable") for e in self._targets(entity, "located_at"))
            return next((replace(s, change="unchanged") for s in named if s), None)
        return None

    def _stated(self, entity: Entity, state: StatementState) -> Statement | None:
        around = self._around(entity)
        name, used = self._name(entity, around)
        if name is None:
            return None
        return Statement(
            finding=name,
            state=state,
            extents=extents_of(self._attributes(around, used)),
            size_mm=_size_mm(around),
            change=_change(around),
            source=self._source,
        )

    def _around(self, entity: Entity) -> list[Entity]:
        """What an entity is located at, what modifies it, and what modifies any of these."""
        found = {entity.id: entity}
        waiting = [entity, *self._targets(entity, "located_at")]
        while waiting:
            one = waiting.pop()
            found[one.id] = one
            waiting += [m for m in self._modifiers.get(one.id, ()) if m.id not in found]
        return sorted((e for e in found.values() if e.id != entity.id), key=_position)

    def _name(self, entity: Entity, around: Sequence[Entity]) -> tuple[str | None, list[Entity]]:
        """The finding that an entity names, and the others whose words make it more special."""
        alone = self._finding_of(_text([entity]))
        for others in (*([other] for other in around), around):
            together = sorted([entity, *others], key=_position)
            for words in (together, [*others, entity], [entity, *others]):
                name = self._finding_of(_text(words))
                if name not in (None, alone):
                    return name, list(others)
        return alone, []

    def _attributes(self, around: Sequence[Entity], used: Sequence[Entity]) -> Iterator[Attribute]:
        """Sides and severities of all entities, and places of those not used in the name."""
        for entity in around:
            modifiers = [m for m in self._modifiers.get(entity.id, ()) if m in around]
            for group in ([entity], *([modifier, entity] for modifier in modifiers)):
                for attribute in self._meanings(group):
                    if attribute.kind != "place" or not any(e in used for e in group):
                        yield attribute

    def _meanings(self, entities: Sequence[Entity]) -> Iterator[Attribute]:
        """What the words of entities mean; the longest known phrase wins."""
        words = [
            (entity.start + number, word)
            for entity in entities
            for number, token in enumerate(entity.tokens.split())
            for word in _words(token)
        ]
        at = 0
        while at < len(words):
            for length in range(min(_LONGEST, len(words) - at), 0, -1):
                phrase = tuple(word for _, word in words[at : at + length])
                if found := self._meanings_of(phrase, words[at][0]):
                    yield from found
                    at += length - 1
                    break
            at += 1

    def _meanings_of(self, phrase: tuple[str, ...], position: int) -> list[Attribute]:
        found = [
            Attribute(position, meaning.kind, meaning.value)
            for meaning in prompt_phrases().get(phrase, ())
            if isinstance(meaning, Modifier) and meaning.kind in ("side", "severity")
        ]
        place = self._place_of(" ".join(phrase))
        return [*found, Attribute(position, "place", place)] if place else found

    def _targets(self, entity: Entity, kind: RelationType) -> list[Entity]:
        return [self._by_id[r.target] for r in entity.relations if r.type == kind]


def _is_observation(entity: Entity) -> bool:
    meaning = label_meaning(entity.label)
    return meaning is not None and meaning.kind == "observation"


def _position(entity: Entity) -> tuple[int, int]:
    return entity.start, entity.end


def _words(text: str) -> list[str]:
    return text.lower().replace("-", " ").split()


def _text(entities: Iterable[Entity]) -> str:
    return " ".join(word for entity in entities for word in _words(entity.tokens))


def _change(entities: Iterable[Entity]) -> Change | None:
    """The last change that the words of entities state."""
    found = (_CHANGE_OF.get(word) for e in entities for word in _words(e.tokens))
    return next((change for change in reversed([*found]) if change), None)


def _size_mm(entities: Iterable[Entity]) -> float | None:
    """The largest diameter that entities give: "3 . 5 x 2 cm" is 35."""
    sizes = [
        float(number) * _MM[unit]
        for entity in entities
        for numbers, unit in _SIZE.findall("".join(_words(entity.tokens)))
        for number in numbers.split("x")
    ]
    return max(sizes, default=None)
