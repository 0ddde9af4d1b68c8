"""Closed questions that open others by their choices, and the checks of such a graph."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from string import Formatter
from typing import Literal

from roentgen.errors import InputError, require, require_choice
from roentgen.record.finding import Severity
from roentgen.record.statement import Change

SideName = Literal["left", "right"]
ReadState = Literal["present", "uncertain", "absent", "stable", "not mentioned"]
_FIELDS = ("finding", "described", "side", "place")  # of a text
_Given = Literal["state", "sides"]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """An answer to a question: what it gives, and the questions that it opens."""

    then: tuple[str, ...] = ()
    state: ReadState | None = None
    probability: float | None = None
    """That the finding is present if this choice is right; that of a question of `then` counts
    before it."""
    sides: tuple[SideName, ...] | None = None
    """The sides that are named; [] if none is."""
    severity: Severity | None = None
    place: bool = False
    """Whether the place that the question is about is named."""
    change: Change | None = None


@dataclass(frozen=True, kw_only=True)
class Question:
    """A closed question."""

    text: str
    choices: dict[str, Choice]
    for_each: tuple[Literal["side", "place"], ...] = ()
    """It is about each side that is named, each place of the finding's list, or each of both."""

    def opens(self) -> set[str]:
        """The questions that any choice opens."""
        return {then for choice in self.choices.values() for then in choice.then}


def check_graph(start: str, questions: Mapping[str, Question]) -> None:
    """Raises InputError, which names the key, unless the questions lead from `start` to states.

    Each choice has to be within bounds, each question to be opened by another, none by itself, and
    each path to give one state and at most once the sides, before what is about each side.
    """
    require_choice("question in start:", start, questions)
    for name, question in questions.items():
        _check_question(f"questions.{name}", question, questions)
    opened = {name: question.opens() for name, question in questions.items()}
    try:
        order = tuple(TopologicalSorter(opened).static_order())  # each after what it opens
    except CycleError as error:
        ring = " > ".join(reversed(error.args[1]))
        raise InputError(f"questions.{error.args[1][0]} opens itself: {ring}") from None
    _check_reached(start, opened)
    states = _times_given("state", order, questions)
    require(bool(states[start]), f"questions.{start}: no path from it gives a state")
    _times_given("sides", order, questions)
    _check_order_of_sides(start, questions)


def _check_question(key: str, question: Question, names: Mapping[str, Question]) -> None:
    """Raises InputError for a question that cannot be one by itself."""
    _check_fields(f"{key}.text", question.text)
    require(len(question.choices) > 1, f"{key}.choices: give two or more")
    for words, choice in question.choices.items():
        where = f"{key}.choices.{words}"
        require(bool(words.strip()), f"{key}.choices: {words!r} is no choice: give it words")
        for then in choice.then:
            require_choice(f"question in {where}.then:", then, names)
        require(
            choice.probability is None or 0 <= choice.probability <= 1,
            f"{where}.probability is {choice.probability}: it must be 0 to 1",
        )
        for field, values in (("then", choice.then), ("sides", choice.sides or ())):
            require(len({*values}) == len(values), f"{where}.{field} has an item twice")
        require(
            not choice.place or "place" in question.for_each,
            f"{where}.place: the question is about no place; make it for_each: [place]",
        )
        require(
            choice.state is None or not question.for_each,
            f"{where}.state: a question for each {question.for_each and question.for_each[0]} "
            "gives no state",
        )


def _check_fields(key: str, text: str) -> None:
    """Raises InputError for what is in braces, but no field."""
    try:
        parts = [part[1:] for part in Formatter().parse(text) if part[1] is not None]
    except ValueError as error:
        raise InputError(f"{key}: {error}") from None
    for name, form, conversion in parts:
        require_choice(f"field in {key}:", name, _FIELDS)
        require(not form and conversion is None, f"{key}: write {{{name}}} without a form")


def _check_reached(start: str, opened: Mapping[str, set[str]]) -> None:
    """Raises InputError for a question that no choice opens."""
    reached, waiting = {start}, [start]
    while waiting:
        new = opened[waiting.pop()] - reached
        reached |= new
        waiting += new
    for name in opened:
        require(name in reached, f"questions.{name}: no choice opens it on a path from {start!r}")


def _times_given(
    given: _Given, order: Iterable[str], questions: Mapping[str, Question]
) -> dict[str, int]:
    """How often (0 or 1) the paths from each question give a state or sides.

    Raises InputError for a path that gives it twice, and for a state of some choices only.
    """
    times: dict[str, int] = {}
    for name in order:
        counts = {
            words: (getattr(choice, given) is not None) + sum(times[then] for then in choice.then)
            for words, choice in questions[name].choices.items()
        }
        times[name] = max(counts.values())
        for words, count in counts.items():
            key = f"questions.{name}.choices.{words}"
            require(count <= 1, f"{key}: {given} is given twice, by it or what it opens")
            require(
                count == times[name] or given == "sides",
                f"{key}: no state is given, neither by it nor by what it opens",
            )
    return times


def _check_order_of_sides(start: str, questions: Mapping[str, Question]) -> None:
    """Raises InputError for a question about each side that opens before the sides are known."""
    waiting = [(start, False)]
    seen = set(waiting)
    while waiting:
        name, known = waiting.pop()
        question = questions[name]
        require(
            known or "side" not in question.for_each,
            f"questions.{name}.for_each: side, but no choice before it gives sides",
        )
        for choice in question.choices.values():
            new = {(then, known or choice.sides is not None) for then in choice.then} - seen
            seen |= new
            waiting += new
