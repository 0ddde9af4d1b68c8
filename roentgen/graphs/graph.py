"""Graph: entities of a report's text and their relations, in the form of RadGraph.

RadGraph (Jain et al., NeurIPS Datasets 2021) has four labels, RadGraph-XL (Delbrouck et al.,
Findings of ACL 2024) has twelve; both have the same three relations.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from roentgen.record.finding import State

GraphSchema = Literal["v1", "xl"]
EntityKind = Literal["anatomy", "observation"]
RelationType = Literal["modify", "located_at", "suggestive_of"]
RELATION_TYPES: tuple[RelationType, ...] = get_args(RelationType)

# Punctuation that is a token of its own in version 1; hyphens and semicolons are not among it.
_TOKEN = re.compile(r"[/,:.!?()]|[^\s/,:.!?()]+")


@dataclass(frozen=True, slots=True)
class LabelMeaning:
    """What a label states of an entity, whichever schema it is of."""

    kind: EntityKind
    state: State
    measurement: bool = False


def _xl_labels() -> Iterator[tuple[str, LabelMeaning]]:
    states: dict[str, State] = {
        "definitely present": "present",
        "uncertain": "uncertain",
        "definitely absent": "absent",
    }
    kinds: dict[str, EntityKind] = {"Observation": "observation", "Anatomy": "anatomy"}
    for title, kind in kinds.items():
        for words, state in states.items():
            yield f"{title}::{words}", LabelMeaning(kind, state)
            yield f"{title}::measurement::{words}", LabelMeaning(kind, state, measurement=True)


LABELS: dict[GraphSchema, dict[str, LabelMeaning]] = {
    "v1": {
        "ANAT-DP": LabelMeaning("anatomy", "present"),
        "OBS-DP": LabelMeaning("observation", "present"),
        "OBS-U": LabelMeaning("observation", "uncertain"),
        "OBS-DA": LabelMeaning("observation", "absent"),
    },
    "xl": dict(_xl_labels()),
}
_SCHEMA_OF: dict[str, GraphSchema] = {
    label: schema for schema, labels in LABELS.items() for label in labels
}


def label_meaning(label: str) -> LabelMeaning | None:
    """The meaning of a label of either schema; None for an unknown one."""
    schema = _SCHEMA_OF.get(label)
    return LABELS[schema][label] if schema else None


def schema_of_label(label: str) -> GraphSchema | None:
    """The schema that has this label; None for an unknown one."""
    return _SCHEMA_OF.get(label)


def label_of(meaning: LabelMeaning, schema: GraphSchema) -> str | None:
    """The label of a meaning; None where the schema has none, as version 1 for measurements."""
    return next((label for label, own in LABELS[schema].items() if own == meaning), None)


@dataclass(frozen=True, slots=True)
class Relation:
    """A relation from the entity that has it to another one."""

    type: str
    target: str  # id of an entity


@dataclass(frozen=True, slots=True)
class Entity:
    """Tokens [start, end] of a text, the end included, with their label and relations."""

    id: str
    tokens: str  # joined by spaces
    label: str
    start: int
    end: int
    relations: tuple[Relation, ...] = ()


@dataclass(frozen=True, slots=True)
class Graph:
    """The entities of a text whose tokens are parted by spaces.

    `data` are the other keys of its JSON, such as data_source. `unreadable` are defects of a JSON
    object that kept entities from being read; they are among its `problems`.
    """

    text: str
    entities: tuple[Entity, ...] = ()
    data: Mapping[str, object] = field(default_factory=dict)
    unreadable: tuple[str, ...] = ()

    @property
    def schema(self) -> GraphSchema | None:
        """The schema of the first known label; None without any."""
        known = (schema_of_label(entity.label) for entity in self.entities)
        return next((schema for schema in known if schema), None)

    def by_id(self) -> dict[str, Entity]:
        """The entities by id."""
        return {entity.id: entity for entity in self.entities}


def tokens_of(text: str) -> list[tuple[int, int]]:
    """The characters [start, end) of each token of a text, as version 1 divides it."""
    return [match.span() for match in _TOKEN.finditer(text)]
