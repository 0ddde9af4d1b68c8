"""Questions about the findings of a report as data: a tree that ends in statements, in YAML.

`maplez.yaml` beside this module is MAPLEZ's tree, and describes the form.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from roentgen.annotate.question_graph import Question, SideName, check_graph
from roentgen.annotate.readers.choices import ChoiceQuestion
from roentgen.config import config_from_dict, config_to_yaml, read_yaml
from roentgen.errors import InputError, require, require_choice
from roentgen.manifest import fingerprint_of
from roentgen.statements import hierarchy

FILE = Path(__file__).with_name("maplez.yaml")


@dataclass(frozen=True, kw_only=True)
class FindingWords:
    """A finding in questions."""

    words: str | None = None
    """How it is written; by default its name."""
    synonyms: tuple[str, ...] = ()
    places: str | None = None
    """The list of places that it may be in; by default no place is a question."""
    answers: dict[str, str] = field(default_factory=dict)
    """Choices that are fixed, by question."""


@dataclass(frozen=True, kw_only=True)
class SideWords:
    """How sides are written."""

    left: str
    right: str


@dataclass(frozen=True, slots=True)
class Query:
    """A question of the tree about a finding, and about a side or a place of it."""

    finding: str
    question: str
    side: SideName | None = None
    place: str | None = None

    def __str__(self) -> str:
        about = (self.finding, self.side, self.place)
        return f"{self.question} ({', '.join(word for word in about if word)})"


@dataclass(frozen=True, kw_only=True)
class QuestionTree:
    """Questions, and the findings that they are about."""

    start: str
    """The question that every finding begins with."""
    questions: dict[str, Question]
    sides: SideWords
    findings: dict[str, FindingWords]
    """Nodes of the hierarchy of findings."""
    places: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Lists of nodes of the hierarchy of places."""
    place_words: dict[str, str] = field(default_factory=dict)
    """How places are written; by default by their names."""

    def __post_init__(self) -> None:
        check_graph(self.start, self.questions)
        _check_findings(self)
        _check_places(self)
        _check_texts(self)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the content, 16 hexadecimal digits."""
        return fingerprint_of(config_to_yaml(self))

    def text_of(self, query: Query) -> ChoiceQuestion:
        """A query in words."""
        question, finding = self.questions[query.question], self.findings[query.finding]
        name = finding.words or query.finding
        synonyms = f" ({', '.join(finding.synonyms)})" if finding.synonyms else ""
        text = question.text.format(
            finding=name,
            described=f"{name}{synonyms}",
            side=getattr(self.sides, query.side) if query.side else "",
            place=self.place_words.get(query.place, query.place) if query.place else "",
        )
        text = " ".join(text.split())
        for mark in "?:,.;)":  # behind a side that is not named
            text = text.replace(f" {mark}", mark)
        return ChoiceQuestion(text, tuple(question.choices))

    def opened_by(self, query: Query, question: str, sides: tuple[SideName, ...]) -> list[Query]:
        """The queries of a question that a choice of a query opens, where `sides` are named.

        One for each side and each place, if the question is for each; a side or place that the
        query is about already stays.
        """
        each = self.questions[question].for_each
        own = self.findings[query.finding].places
        every_side = "side" in each and query.side is None and len(sides) > 0
        every_place = "place" in each and query.place is None
        places = self.places[own] if own is not None else ()
        return [
            Query(query.finding, question, side, place)
            for side in (sides if every_side else (query.side,))
            for place in (places if every_place else (query.place,))
        ]

    def queries(self, finding: str) -> dict[Query, ChoiceQuestion]:
        """All that can open about a finding, in words."""
        fixed = self.findings[finding].answers
        found: dict[Query, ChoiceQuestion] = {}
        waiting: list[tuple[Query, tuple[SideName, ...]]] = [(Query(finding, self.start), ())]
        seen = set(waiting)
        while waiting:
            query, sides = waiting.pop(0)
            if query.question not in fixed:
                found[query] = self.text_of(query)
            for words, choice in self.questions[query.question].choices.items():
                if fixed.get(query.question, words) == words:
                    named = sides if choice.sides is None else choice.sides
                    opened = (q for then in choice.then for q in self.opened_by(query, then, named))
                    new = [(q, named) for q in opened if (q, named) not in seen]
                    seen.update(new)
                    waiting += new
        return found


def load_questions(path: Path | None = None) -> QuestionTree:
    """The tree of a YAML file, or the shipped one.

    Raises InputError with file and key for what is not of the form: an unknown key, question,
    finding, place or choice; fewer than two choices; a question that opens itself, or that nothing
    opens; a path without a state, or with two; two queries with one text.
    """
    path = path or FILE
    values = read_yaml(path)
    try:
        return config_from_dict(QuestionTree, values)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _check_findings(tree: QuestionTree) -> None:
    """Raises InputError for an unknown finding, list of places, question or choice."""
    require(bool(tree.findings), "findings is empty: give at least one")
    for name, finding in tree.findings.items():
        key = f"findings.{name}"
        require(name in hierarchy.findings(), f"{key}: unknown finding; {_NODES}")
        if finding.places is not None:
            require_choice(f"list in {key}.places:", finding.places, tree.places)
        for question, words in finding.answers.items():
            require_choice(f"question in {key}.answers:", question, tree.questions)
            choices = tree.questions[question].choices
            require_choice(f"choice in {key}.answers.{question}:", words, choices)


def _check_places(tree: QuestionTree) -> None:
    """Raises InputError for a place that is unknown, or in a list twice."""
    lists: Mapping[str, tuple[str, ...]] = {
        **{f"places.{name}": places for name, places in tree.places.items()},
        "place_words": tuple(tree.place_words),
    }
    for key, places in lists.items():
        require(len(set(places)) == len(places), f"{key} has a place twice")
        for place in places:
            require(place in hierarchy.places(), f"{key}: unknown place {place!r}; {_NODES}")


def _check_texts(tree: QuestionTree) -> None:
    """Raises InputError for two queries with one text, which no reader could tell apart."""
    found: dict[str, Query] = {}
    for finding in tree.findings:
        for query, words in tree.queries(finding).items():
            other = found.setdefault(words.text, query)
            require(
                other == query,
                f"questions.{query.question}.text: {query} and {other} have one text; it needs "
                "{finding} or {described}, and {side} and {place} where it is for each",
            )


_NODES = f"it is none of {hierarchy.FILE.name}"
