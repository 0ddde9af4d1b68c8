"""Statements of a report as a graph in the form of RadGraph v1.

A finding is an observation with the statement's state. Where its words are a structure's ("heart"),
they are anatomy, and the word that decides ("enlarged", "normal", "unchanged") is an observation
that is located at it. The observation is located at sides and places, too; severity, size and
change are observations that modify it, in its state. What it is an interpretation of is suggestive
of it.
"""

import bisect
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import get_args

from roentgen.errors import require
from roentgen.graphs.graph import (
    Entity,
    Graph,
    LabelMeaning,
    Relation,
    RelationType,
    label_of,
    tokens_of,
)
from roentgen.graphs.word_meanings import WordMeanings
from roentgen.record.finding import State
from roentgen.record.radiograph import Report
from roentgen.record.statement import ReadSection, Span, Statement

_ANATOMY = LabelMeaning("anatomy", "present")
_PRESENT = LabelMeaning("observation", "present")


def graph_of_statements(
    report: Report, statements: Iterable[Statement], meanings: WordMeanings
) -> Graph:
    """The graph of a report, with the text of the sections that are read.

    Raises InputError for a statement without the words of its finding, and for words beyond their
    section.
    """
    draft = _Draft(report, meanings)
    found = [(statement, draft.observation(statement)) for statement in statements]
    for statement, observation in found:
        draft.relate_words(statement, observation)
    return draft.graph()


@dataclass(eq=False)
class _Node:
    """An entity while the graph is made."""

    start: int
    end: int
    meaning: LabelMeaning
    relations: dict[tuple[RelationType, "_Node"], None] = field(default_factory=dict)

    def relate(self, kind: RelationType, other: "_Node") -> None:
        if other is not self:
            self.relations[kind, other] = None


class _Draft:
    """The tokens of a report's sections, and the entities on them."""

    def __init__(self, report: Report, meanings: WordMeanings) -> None:
        self._meanings = meanings
        self._texts: dict[ReadSection, str] = {
            name: text for name in get_args(ReadSection) if (text := getattr(report, name))
        }
        self._offsets: dict[ReadSection, int] = {}
        text = ""
        for name, section in self._texts.items():
            self._offsets[name] = len(text)
            text += f"{section}\n"
        spans = tokens_of(text)
        self._tokens = [text[start:end] for start, end in spans]
        self._starts = [start for start, _ in spans]
        self._ends = [end for _, end in spans]
        self._nodes: dict[tuple[int, int, LabelMeaning], _Node] = {}
        self._observations: list[_Node] = []

    def observation(self, statement: Statement) -> _Node:
        """The main observation; further words of a finding's name modify the first ones."""
        words = statement.evidence.words if statement.evidence else ()
        spans = [span for span in words if span.role == "finding"]
        require(
            bool(spans),
            f"statement of {statement.finding!r} has no words of a report as its evidence: only "
            "statements that were read from a text have a graph",
        )
        first, *others = (self._range(statement, span) for span in spans)
        decisive = self._decisive(statement, first)
        if decisive:
            state: State = "uncertain" if statement.state == "uncertain" else "present"
            result = self._node(decisive, LabelMeaning("observation", state))
            finding = self._node(first, _ANATOMY)
            result.relate("located_at", finding)
        else:
            require(
                statement.state != "stable",
                f"statement of {statement.finding!r} is stable, but has no words that say so",
            )
            result = finding = self._node(first, _observation(statement))
        for other in others:
            self._node(other, finding.meaning).relate("modify", finding)
        self._observations.append(result)
        return result

    def _decisive(self, statement: Statement, finding: tuple[int, int]) -> tuple[int, int] | None:
        """The words that decide about a structure; None where the finding is named itself."""
        if statement.finding in self._meanings.findings(self._text(finding)):
            return None
        for span in statement.evidence.words if statement.evidence else ():
            if span.role in ("cue", "change"):
                where = self._range(statement, span)
                ordered = " ".join(map(self._text, sorted((where, finding))))
                if statement.finding in self._meanings.findings(ordered):
                    return where
        return None

    def _text(self, where: tuple[int, int]) -> str:
        return " ".join(self._tokens[where[0] : where[1] + 1]).lower()

    def relate_words(self, statement: Statement, observation: _Node) -> None:
        """Add the entities of a statement's other words, with their relations."""
        for span in statement.evidence.words if statement.evidence else ():
            where = self._range(statement, span)
            match span.role:
                case "side" | "place":
                    observation.relate("located_at", self._node(where, _ANATOMY))
                case "severity" | "size" | "change":
                    self._node(where, observation.meaning).relate("modify", observation)
                case "explained":
                    self._explained(where).relate("suggestive_of", observation)

    def _explained(self, where: tuple[int, int]) -> _Node:
        """The main observation at these tokens; where there is none, a present one."""
        start, end = where
        found = (o for o in self._observations if o.start <= end and start <= o.end)
        return next(found, None) or self._node(where, _PRESENT)

    def _range(self, statement: Statement, span: Span) -> tuple[int, int]:
        """The tokens of a span, the last included."""
        assert statement.evidence is not None
        section = statement.evidence.section
        length, offset = len(self._texts.get(section, "")), self._offsets.get(section, 0)
        start = bisect.bisect_right(self._ends, offset + span.start)
        end = bisect.bisect_left(self._starts, offset + span.end) - 1
        require(
            0 <= span.start < span.end <= length and start <= end,
            f"statement of {statement.finding!r} has its {span.role} at characters {span.start} to "
            f"{span.end} of the {section}, which has {length}: no words are there",
        )
        return start, end

    def _node(self, where: tuple[int, int], meaning: LabelMeaning) -> _Node:
        return self._nodes.setdefault((*where, meaning), _Node(*where, meaning))

    def graph(self) -> Graph:
        """The graph, with the entities in the order of the text."""
        nodes = sorted(self._nodes.values(), key=lambda node: (node.start, node.end))
        ids = {node: str(number + 1) for number, node in enumerate(nodes)}
        entities = tuple(
            Entity(
                ids[node],
                " ".join(self._tokens[node.start : node.end + 1]),
                str(label_of(node.meaning, "v1")),
                node.start,
                node.end,
                tuple(Relation(kind, ids[other]) for kind, other in node.relations),
            )
            for node in nodes
        )
        data = {"data_source": None, "data_split": "inference"}  # as the package radgraph writes
        return Graph(" ".join(self._tokens), entities, data)


def _observation(statement: Statement) -> LabelMeaning:
    assert statement.state != "stable"
    return LabelMeaning("observation", statement.state)
