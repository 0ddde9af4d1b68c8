"""State of a sentence while it is read: its findings, what clauses share, and open scopes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from roentgen.labelers.rules.lexicon import Kind, Phrase
from roentgen.labelers.rules.mentions import Mark, Mention
from roentgen.labelers.rules.structures import Subject
from roentgen.record.finding import State

_MARKS: dict[Kind, Mark] = {
    "historical": "historical",
    "assess": "assessed",
    "unclear": "unclear",
}


@dataclass(slots=True)
class Reading:
    """What a sentence says."""

    mentions: list[Mention] = field(default_factory=list)
    normal: bool = False  # the whole chest is normal, or the lungs are clear
    refers: bool = False  # to the sentence before: "this may represent"


@dataclass(slots=True)
class Scope:
    """What a cue gives to the findings that follow it."""

    kind: Kind
    state: State | None
    probability: float | None
    cue: Phrase
    used: bool = False

    @property
    def mark(self) -> Mark | None:
        """The mark of the findings in it."""
        return _MARKS.get(self.kind)


@dataclass(slots=True)
class Sentence:
    """What the clauses of a sentence hand on to each other."""

    modifiers_precede: bool  # the noun that they describe
    unknown: frozenset[int] = frozenset()  # positions of words that no phrase has
    # Interpretations that are given instead of a finding, by that finding.
    replaced_by: Mapping[str, Sequence[str]] = field(default_factory=dict)
    reading: Reading = field(default_factory=Reading)
    last: list[Mention] = field(default_factory=list)  # of the last clause that has findings
    title: list[Mention] = field(default_factory=list)
    subjects: list[Subject] = field(default_factory=list)  # structures without an adjective
    topic: list[Phrase] = field(default_factory=list)  # the place that the next clause is about
