"""Graphs in the form of RadGraph as statements.

An observation that modifies no other one names a finding, with the words that it is located at or
that modify it: RadGraph has "effusion" located at "pleural". Anatomy gives sides and places,
modifiers give severity, size and change.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from roentgen.errors import InputError
from roentgen.graphs.extents import Attribute, extents_of
from roentgen.graphs.graph import Entity, Graph, RelationType, label_meaning
from roentgen.graphs.problems import problems
from roentgen.graphs.word_meanings import WordMeanings
from roentgen.record.statement import Change, Statement, StatementState
from roentgen.statements.hierarchy import ancestors

_SIZE = re.compile(r"((?:\d+(?:\.\d+)?x)*\d+(?:\.\d+)?)(mm|cm)")
_MM = {"mm": 1.0, "cm": 10.0}
_LONGEST = 4  # words of a side, severity or place


@dataclass(frozen=True, kw_only=True)
class GraphReading:
    """The statements of a graph, and the tokens of observations that make none.

    They name no known finding, or deny what denies one ("not normal").
    """

    statements: tuple[Statement, ...]
    unread: tuple[str, ...]


def statements_of_graph(graph: Graph, meanings: WordMeanings, source: str = "") -> GraphReading:
    """The statements of a graph, in the order of its text. `source` is that of each.

    Raises InputError for a graph that has `problems`.
    """
    if found := problems(graph):
        raise InputError(f"a graph with problems has no statements: {found[0]}")
    reader = _GraphReader(graph, meanings, source)
    read = [(entity, reader.statements(entity)) for entity in reader.observations()]
    return GraphReading(
        statements=tuple(statement for _, found in read for statement in found),
        unread=tuple(entity.tokens for entity, found in read if not found),
    )


class _GraphReader:
    def __init__(self, graph: Graph, meanings: WordMeanings, source: str) -> None:
        self._meanings = meanings
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

    def statements(self, entity: Entity) -> list[Statement]:
        """What an observation states; nothing if it names no known finding."""
        around = self._around(entity)
        named, used = self._name(entity, around)
        attributes = [*self._attributes(around, used)]
        changes = [a.value for a in sorted(attributes) if a.kind == "change"]
        return [
            Statement(
                finding=finding,
                state=state,
                extents=extents_of(attributes),
                size_mm=_size_mm(around),
                change=cast("Change", changes[-1]) if changes else None,
                source=self._source,
            )
            for finding, words_state in named.items()
            if (state := _state(entity, words_state))
        ]

    def _around(self, entity: Entity) -> list[Entity]:
        """What an entity is located at, what modifies it, and what modifies any of these."""
        found = {entity.id: entity}
        waiting = [entity, *self._targets(entity, "located_at")]
        while waiting:
            one = waiting.pop()
            found[one.id] = one
            waiting += [m for m in self._modifiers.get(one.id, ()) if m.id not in found]
        return sorted((e for e in found.values() if e.id != entity.id), key=_position)

    def _name(
        self, entity: Entity, around: Sequence[Entity]
    ) -> tuple[Mapping[str, StatementState], list[Entity]]:
        """The findings that an entity names, and the others whose words take part in the name.

        Others make a finding more special ("rib" a "fracture"), or decide which one it is (the
        "heart" that is "enlarged", the "lungs" that are "clear").
        """
        alone = self._meanings.findings(_text([entity]))
        named: dict[str, StatementState] = {}
        used: list[Entity] = []
        for others in self._groups(entity, around):
            if any(other in used for other in others):
                continue
            ordered = sorted([entity, *others], key=_position)
            for words in (ordered, [*others, entity], [entity, *others]):
                found = self._meanings.findings(_text(words))
                if found and (not alone or _is_special(found, alone)):
                    named |= found
                    used += others
                    break
            if alone and named:
                break
        return named or alone, used

    def _groups(self, entity: Entity, around: Sequence[Entity]) -> Iterator[list[Entity]]:
        """The others that may take part in a name: places with what modifies them, then each."""
        for target in self._targets(entity, "located_at"):
            yield sorted([*self._modifiers.get(target.id, ()), target], key=_position)
        yield from ([other] for other in around)

    def _attributes(self, around: Sequence[Entity], used: Sequence[Entity]) -> Iterator[Attribute]:
        """What the words of entities mean, except places whose words are in the name."""
        for entity in around:
            modifiers = [m for m in self._modifiers.get(entity.id, ()) if m in around]
            for group in ([entity], *([modifier, entity] for modifier in modifiers)):
                for attribute, entities in self._read(group):
                    if attribute.kind != "place" or not all(e in used for e in entities):
                        yield attribute

    def _read(self, entities: Sequence[Entity]) -> Iterator[tuple[Attribute, list[Entity]]]:
        """What the words of entities mean, and whose they are; the longest known phrase wins."""
        words = [
            (word, entity, entity.start + number)
            for entity in entities
            for number, token in enumerate(entity.tokens.split())
            for word in _words(token)
        ]
        at = 0
        while at < len(words):
            for length in range(min(_LONGEST, len(words) - at), 0, -1):
                phrase = words[at : at + length]
                found = self._meanings.attributes(" ".join(word for word, *_ in phrase))
                for meaning in found:
                    yield Attribute(words[at][2], *meaning), [entity for _, entity, _ in phrase]
                if found:
                    at += length - 1
                    break
            at += 1

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


def _state(entity: Entity, words: StatementState) -> StatementState | None:
    """The state by label and words: a "normal" heart that is present denies its enlargement.

    None where words that deny are denied: a heart that is not normal may be anything.
    """
    meaning = label_meaning(entity.label)
    assert meaning is not None
    if meaning.state == "present":
        return words
    if words == "present":
        return meaning.state
    return "uncertain" if meaning.state == "uncertain" and words != "stable" else None


def _is_special(names: Iterable[str], general: Iterable[str]) -> bool:
    """Whether one of the findings is below one of the general ones."""
    return any(name in ancestors(other) for name in general for other in names)


def _size_mm(entities: Iterable[Entity]) -> float | None:
    """The largest diameter that entities give: "3 . 5 x 2 cm" is 35."""
    sizes = [
        float(number) * _MM[unit]
        for entity in entities
        for numbers, unit in _SIZE.findall("".join(_words(entity.tokens)))
        for number in numbers.split("x")
    ]
    return max(sizes, default=None)
