"""An interview on a report: the questions of a tree, step by step, and the statements that follow.

At each step the open questions of all findings are put together, so that a reader that shares the
report between them reads it once. An unanswered question leaves its finding without a statement.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from roentgen.annotate.calibration import Calibration
from roentgen.annotate.question_graph import Choice, SideName
from roentgen.annotate.questions import Query, QuestionTree
from roentgen.annotate.readers.choices import Answer, Fault, Interview
from roentgen.record.statement import Extent, Statement
from roentgen.statements.merged_extents import merged_extents


@dataclass(frozen=True, slots=True)
class Decision:
    """A query with the choice that counts, and the probabilities of all its choices.

    They are calibrated where the interview is; () if the tree fixes the answer.
    """

    query: Query
    choice: str
    probabilities: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Interviewed:
    """What an interview on a report gives."""

    statements: tuple[Statement, ...]  # in the tree's order of findings
    unanswered: tuple[str, ...]  # findings without a statement for want of an answer
    faults: tuple[tuple[Query, Fault], ...]  # in the order of the questions
    questions: int  # how many were put
    scores: Mapping[str, float]
    """By finding that has an answer to the first question: the probability of its first choice, as
    the reader gives it, which a calibration is fitted on."""
    decisions: tuple[Decision, ...]  # in the order of the questions


def interview(
    report: Interview,
    tree: QuestionTree,
    *,
    source: str,
    calibration: Calibration | None = None,
) -> Interviewed:
    """Put the questions of a tree on a report; `source` is the reader's identity.

    Of the choices of a question the most probable counts, the first of equals. A statement's
    probability that the finding is present is the mean over the choices of the questions that
    decide on its state; a stable one has none. The calibration is of the first question.
    """
    courses = [_Course(finding, tree, calibration) for finding in tree.findings]
    faults: list[tuple[Query, Fault]] = []
    questions = 0
    while waiting := [(course, query) for course in courses for query in course.next_queries()]:
        answers = report.ask([tree.text_of(query) for _, query in waiting])
        questions += len(waiting)
        for (course, query), answer in zip(waiting, answers, strict=True):
            if answer.fault is not None:
                faults.append((query, answer.fault))
            course.receive(query, answer)
    statements = (course.statement(source) for course in courses)
    return Interviewed(
        statements=tuple(statement for statement in statements if statement),
        unanswered=tuple(course.finding for course in courses if course.unanswered),
        faults=tuple(faults),
        questions=questions,
        scores={course.finding: course.score for course in courses if course.score is not None},
        decisions=tuple(decision for course in courses for decision in course.decisions.values()),
    )


class _Course:
    """The questions on one finding."""

    def __init__(self, finding: str, tree: QuestionTree, calibration: Calibration | None) -> None:
        self.finding = finding
        self.unanswered = False
        self.score: float | None = None
        self.decisions: dict[Query, Decision] = {}
        self._tree = tree
        self._calibration = calibration
        self._sides: tuple[SideName, ...] = ()
        self._start = Query(finding, tree.start)
        self._opened: dict[Query, list[Query]] = {}  # by each query
        self._seen = {self._start}
        self._open = [self._start]

    def next_queries(self) -> list[Query]:
        """Those that are open, after all answers that the tree fixes."""
        fixed = self._tree.findings[self.finding].answers
        queries = []
        while self._open and not self.unanswered:
            query = self._open.pop(0)
            if query.question in fixed:
                self._decide(Decision(query, fixed[query.question]))
            else:
                queries.append(query)
        return queries

    def receive(self, query: Query, answer: Answer) -> None:
        """Follow the choice that counts."""
        best, probabilities = answer.best, answer.probabilities
        if best is None:
            self.unanswered = True
            return
        if query == self._start:
            self.score = probabilities[0]
            if self._calibration is not None:
                calibrated = self._calibration.apply(self.finding, self.score)
                probabilities = _with_first(probabilities, calibrated)
                best = Answer(probabilities).best
                assert best is not None
        choices = tuple(self._tree.questions[query.question].choices)
        self._decide(Decision(query, choices[best], probabilities))

    def statement(self, source: str) -> Statement | None:
        """What is stated of the finding; None if it is not mentioned, or without an answer."""
        if self.unanswered:
            return None
        chosen = [(query, self._choice(query)) for query in self.decisions]
        (state,) = (choice.state for _, choice in chosen if choice.state is not None)
        if state == "not mentioned":
            return None
        extents = [Extent(side) for side in self._sides]
        for query, choice in chosen:
            places = (query.place,) if choice.place and query.place else ()
            extents.append(Extent(query.side, choice.severity, places))
        return Statement(
            finding=self.finding,
            state=state,
            probability=None if state == "stable" else self._probability(self._start),
            extents=merged_extents(extents),
            change=next((choice.change for _, choice in chosen if choice.change), None),
            source=source,
        )

    def _choice(self, query: Query) -> Choice:
        return self._tree.questions[query.question].choices[self.decisions[query].choice]

    def _decide(self, decision: Decision) -> None:
        self.decisions[decision.query] = decision
        choice = self._choice(decision.query)
        if choice.sides is not None:
            self._sides = choice.sides
        opened = [
            query
            for question in choice.then
            for query in self._tree.opened_by(decision.query, question, self._sides)
        ]
        self._opened[decision.query] = opened
        self._open += [query for query in opened if query not in self._seen]
        self._seen.update(opened)

    def _probability(self, query: Query) -> float | None:
        """The mean probability over a query's choices, of those that have one."""
        decision = self.decisions[query]
        choices = self._tree.questions[query.question].choices
        weights = decision.probabilities or [words == decision.choice for words in choices]
        total = mean = 0.0
        for (words, choice), weight in zip(choices.items(), weights, strict=True):
            value = choice.probability
            if words == decision.choice:
                below = (self._probability(opened) for opened in self._opened[query])
                value = next((known for known in below if known is not None), value)
            if value is not None:
                total += weight
                mean += weight * value
        return min(1.0, mean / total) if total > 0 else None


def _with_first(probabilities: tuple[float, ...], first: float) -> tuple[float, ...]:
    """Probabilities whose first one is given, the others in their proportions."""
    others = probabilities[1:]
    rest = sum(others)
    shares = [p / rest for p in others] if rest > 0 else [1 / len(others)] * len(others)
    return (first, *((1 - first) * share for share in shares))
