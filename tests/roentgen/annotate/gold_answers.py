"""Answers to the shipped questions from known statements, and a reader that gives them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from roentgen.annotate.question_graph import ReadState
from roentgen.annotate.questions import Query, QuestionTree
from roentgen.annotate.readers.choices import Answer, ChoiceQuestion, TokenCount
from roentgen.record.finding import Severity
from roentgen.record.statement import STATEMENT_STATES, Change, Extent, Statement
from roentgen.statements.hierarchy import findings
from roentgen.statements.merged_extents import merged_extents

DEGREES = {"certain": 1.0, "likely": 0.8, "possible": 0.5, "unlikely": 0.2}
SEVERITY_WORDS: dict[Severity | None, str] = {
    **{"small": "mild", "moderate": "moderate", "large": "severe", None: "not stated"},
}


@dataclass(frozen=True)
class Gold:
    """What is known of one finding of a report."""

    state: ReadState = "not mentioned"
    degree: str = "certain"  # of a finding that is present or uncertain
    extents: tuple[Extent, ...] = (Extent(),)
    change: Change | None = None
    by_change: bool = False  # whether the report shows its state only by calling it unchanged


NOTHING = Gold()


def gold_choice(query: Query, gold: Gold) -> str:
    """The right choice of a question of the shipped tree."""
    positive = gold.state in ("present", "uncertain")
    sides = [extent.side for extent in gold.extents if extent.side]
    (extent,) = [e for e in gold.extents if e.side == query.side] or [Extent()]
    match query.question:
        case "presence":
            return yes(positive and not gold.by_change)
        case "certainty":
            return gold.degree
        case "stable":
            return yes(gold.state == "stable" or gold.by_change)
        case "observed":
            return yes(positive)
        case "normal" | "denied":
            return yes(gold.state == "absent")
        case "side":
            return "both" if len(sides) > 1 else sides[0] if sides else "not named"
        case "severity":
            return SEVERITY_WORDS[extent.severity]
        case "placed":
            return yes(bool(extent.places))
        case "place":
            return yes(query.place in extent.places)
    raise AssertionError(query)


def yes(holds: bool) -> str:
    return "yes" if holds else "no"


def gold_of(statements: Iterable[Statement], tree: QuestionTree) -> tuple[dict[str, Gold], int]:
    """What statements say of the tree's findings, and how many places its lists do not have.

    A statement counts for the tree's nearest findings above its own.
    """
    by_finding: dict[str, list[Statement]] = {}
    for statement in statements:
        for finding in nearest(statement.finding, frozenset(tree.findings)):
            by_finding.setdefault(finding, []).append(statement)
    gold = {}
    dropped = 0
    for finding, own in by_finding.items():
        state = min((s.state for s in own), key=STATEMENT_STATES.index)
        deciding = [s for s in own if s.state == state]
        extents: tuple[Extent, ...] = (Extent(),)
        degree = "certain"
        if state in ("present", "uncertain"):
            extents = merged_extents(e for s in deciding for e in s.extents)
            places = tree.places[tree.findings[finding].places or ""]
            dropped += sum(place not in places for e in extents for place in e.places)
            extents = tuple(
                Extent(e.side, e.severity, tuple(p for p in places if p in e.places))
                for e in extents
            )
            default = 1.0 if state == "present" else 0.5
            degree = degree_of(max(s.probability or default for s in deciding), state)
        change: Change | None = "unchanged" if state == "stable" else None
        gold[finding] = Gold(state, degree, extents, change)
    return gold, dropped


def degree_of(probability: float, state: str) -> str:
    """The nearest degree of a state."""
    own = ("certain", "likely") if state == "present" else ("possible", "unlikely")
    return min(own, key=lambda degree: abs(DEGREES[degree] - probability))


@cache
def nearest(finding: str, among: frozenset[str]) -> frozenset[str]:
    """The findings among some that are nearest above one, or itself."""
    if finding in among:
        return frozenset([finding])
    return frozenset().union(*(nearest(parent, among) for parent in findings()[finding].parents))


class GoldReader:
    """An interview whose answers are right, by the texts of the questions."""

    tokens = TokenCount()

    def __init__(self, tree: QuestionTree, gold: Mapping[str, Gold]) -> None:
        self.gold = gold
        self.steps: list[list[Query]] = []
        self._queries = queries_by_text(tree)

    def ask(self, questions: Sequence[ChoiceQuestion]) -> list[Answer]:
        self.steps.append([self._queries[question.text] for question in questions])
        return [self.answer(question) for question in questions]

    def answer(self, question: ChoiceQuestion) -> Answer:
        right = self.choice(question.text)
        assert right in question.choices
        return Answer(tuple(float(choice == right) for choice in question.choices))

    def choice(self, text: str) -> str:
        """The right choice of the question with this text."""
        query = self._queries[text]
        return gold_choice(query, self.gold.get(query.finding, NOTHING))


_BY_TEXT: dict[str, dict[str, Query]] = {}


def queries_by_text(tree: QuestionTree) -> dict[str, Query]:
    """Every query of a tree by its text, which no other has."""
    if tree.fingerprint not in _BY_TEXT:
        _BY_TEXT[tree.fingerprint] = {
            question.text: query
            for finding in tree.findings
            for query, question in tree.queries(finding).items()
        }
    return _BY_TEXT[tree.fingerprint]
