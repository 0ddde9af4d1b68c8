"""Prompt parser: reads findings as `roentgen.prompts.grammar` writes them and as people type them.

Words that are not understood are refused, never guessed. A comma ends the scope of "no" and
"possible"; "or" extends it. Two sides share their noun: "moderate right and small left effusion".
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal, cast

from roentgen.errors import InputError
from roentgen.prompts.context_words import ContextRule, split_context
from roentgen.prompts.vocabulary import (
    LONGEST,
    NOUNS,
    RACES,
    SEXES,
    Meaning,
    Modifier,
    Noun,
    OtherNoun,
    longest_phrase,
    prompt_phrases,
)
from roentgen.record.context import ContextValue
from roentgen.record.finding import Finding, Severity, Side, State
from roentgen.record.radiograph import VIEW_TOKENS, Sex, View
from roentgen.record.statement import Extent, Statement
from roentgen.statements.labels import findings_of

_PATIENT = re.compile(
    rf"\s*(?:(?P<age>\d+)[\s-]years?[\s-]old\s+(?:(?P<race>[a-z][a-z '/&-]{{0,60}}?)\s+)?"
    rf"|(?P<known_race>{'|'.join(RACES)})\s+)?(?P<sex>{'|'.join(SEXES)})\b\s*[,.;]?\s*",
    re.IGNORECASE,
)
_VIEW = re.compile(r"<view-[^<>\s]*>", re.IGNORECASE)
_TOKEN = re.compile(r"\(([^()]*)\)|([,;.\n])|([^\s,;.()\-]+)|([()])")

_PARTING = ("break", "join", "or")  # kinds of modifiers that part two findings


@dataclass(frozen=True, kw_only=True)
class PromptContent:
    """The contents of a prompt in the findings form."""

    view: View | None
    age: float | None  # years
    sex: Sex | None
    race: str | None
    context: tuple[ContextValue, ...] = ()
    """The words of the context as yes-or-no values."""
    findings: tuple[Finding, ...]
    others: tuple[Statement, ...] = ()
    """Findings of the hierarchy that the 14 names do not distinguish ("emphysema"), each with
    state, sides, severities and places."""

    def labels(self) -> tuple[Finding, ...]:
        """The findings, with those that the others are kinds of: "hemothorax", an effusion.

        The absence of one kind does not deny the others.
        """
        implied = findings_of(other for other in self.others if other.state != "absent")
        return tuple(dict.fromkeys((*self.findings, *implied)))


def parse_prompt(text: str, rules: Sequence[ContextRule] = ()) -> PromptContent:
    """The contents of a prompt in the findings form, in the grammar's words or in common synonyms.

    Words of the context, as the rules write them, are read in front of the findings. Raises
    InputError for an unknown word and for a text that can be read in two ways.
    """
    view, text = split_view(text)
    age: float | None = None
    sex: Sex | None = None
    race: str | None = None
    patient = _PATIENT.match(text)
    if patient and not _names_findings(patient["race"] or ""):
        age = float(patient["age"]) if patient["age"] else None
        sex = SEXES[patient["sex"].lower()]
        race = patient["race"] or patient["known_race"]
        text = text[patient.end() :]
    context, text = split_context(text, rules)
    stated = list(_stated(text))
    findings = tuple(finding for finding in stated if isinstance(finding, Finding))
    others = _by_node(other for other in stated if isinstance(other, Statement))
    return PromptContent(
        view=view,
        age=age,
        sex=sex,
        race=race,
        context=context,
        findings=findings,
        others=others,
    )


def _names_findings(text: str) -> bool:
    """Whether a text between age and sex names findings: "63 year old with edema, a woman"."""
    words = set(text.lower().split()) - {"or", "and", "other"}
    return any((word,) in prompt_phrases() for word in words)


def split_view(text: str) -> tuple[View | None, str]:
    """The view that a token in the text names, and the text without the token.

    Raises InputError for an unknown view token and for more than one.
    """
    tokens = _VIEW.findall(text)
    if not tokens:
        return None, text.strip()
    if len(tokens) > 1:
        raise InputError(f"more than one view token in a prompt: {', '.join(tokens)}; keep one")
    for view, token in VIEW_TOKENS.items():
        if token == tokens[0].lower():
            return view, " ".join(_VIEW.sub(" ", text).split())
    choices = ", ".join(VIEW_TOKENS.values())
    raise InputError(f"unknown view token {tokens[0]!r}; choose one of: {choices}")


_PROBABLY = ("probably ", "likely ", "presumably ")


@dataclass
class _Clause:
    """One finding while it is being read."""

    joined: Modifier | None = None  # the "and" or "or" that it follows
    states: list[State] = field(default_factory=list)
    noun: Noun | OtherNoun | None = None
    modifiers: dict[str, str] = field(default_factory=dict)  # side, severity, place, free detail
    text: list[str] = field(default_factory=list)
    other_side: bool = False  # whether the clause before is the other side of its noun

    def __str__(self) -> str:
        return " ".join(self.text)

    def add(self, meaning: Meaning, words: str) -> None:
        self.text.append(words)
        if isinstance(meaning, Modifier) and meaning.kind == "state":
            self.states.append(cast("State", meaning.value))
            return
        kind = _kind(meaning)
        if kind in self.modifiers or (kind == "finding" and self.noun):
            raise InputError(f"'{self}' gives {kind} twice: put a comma between two findings")
        if isinstance(meaning, Modifier):
            self.modifiers[kind] = meaning.value
        else:
            self.noun = meaning

    def stated(self) -> Finding | Statement:
        given = self.modifiers
        side = cast("Side | None", given.get("side"))
        severity = cast("Severity | None", given.get("severity"))
        if self.noun is None:
            raise InputError(f"'{self}' names no finding; findings are: {_known_findings()}")
        if isinstance(self.noun, OtherNoun):
            if "free" in given:
                raise InputError(f"'{self}' has a detail, which only the 14 names have: remove it")
            sides: Sequence[Literal["left", "right"] | None] = (
                ("left", "right") if side == "bilateral" else (side,)
            )
            places = (given["place"],) if "place" in given else ()
            return Statement(
                finding=self.noun.node,
                state=self._state(negates=False),
                extents=tuple(Extent(side, severity, places) for side in sides),
            )
        if "free" in given and ("place" in given or self.noun.detail):
            raise InputError(f"'{self}' has two details: keep one")
        details = [d for d in (given.get("place"), self.noun.detail, given.get("free")) if d]
        return Finding(
            name=self.noun.name,
            state=self._state(negates=self.noun.negates),
            side=side,
            severity=severity,
            detail=" ".join(details) or None,
        )

    def _state(self, *, negates: bool) -> State:
        match self.states, negates:
            case [], _:
                return "absent" if negates else "present"
            case ["absent"], _:
                return "present" if negates else "absent"
            case ([state], False):
                return state
            case ["uncertain", "absent"], True:
                return "uncertain"
            case ["present", "absent"], _ if str(self).startswith(_PROBABLY):
                return "uncertain"  # "probably no edema"
        states = sorted({*self.states, *(("absent",) if negates else ())})
        if len(states) == 1 or "absent" not in states:
            raise InputError(f"'{self}' gives its state twice: keep one of the words")
        raise InputError(f"'{self}' is both {' and '.join(states)}: keep one of the two")


def _by_node(statements: Iterable[Statement]) -> tuple[Statement, ...]:
    """The statements, with two sides of one finding in one: "right emphysema, left emphysema"."""
    result: list[Statement] = []
    one_sided: dict[tuple[object, ...], int] = {}  # places in the result
    for new in statements:
        sides = [extent.side for extent in new.extents]
        if sides in (["left"], ["right"]):
            other = "right" if sides == ["left"] else "left"
            place = one_sided.pop((new.finding, new.state, other), None)
            if place is not None:
                extents = (*result[place].extents, *new.extents)  # left first
                result[place] = replace(new, extents=extents[:: 1 if other == "left" else -1])
                continue
            one_sided.setdefault((new.finding, new.state, *sides), len(result))
        result.append(new)
    return tuple(result)


def _stated(text: str) -> Iterator[Finding | Statement]:
    """The findings of a text without view token and patient."""
    clauses = list(_clauses(text))
    for first, second in pairwise(clauses):
        _share_noun(first, second)
    scope: list[State] = []  # the states of the clause before, which could extend
    for clause in clauses:
        _settle_scope(clause, scope)
        yield clause.stated()
        scope = [state for state in clause.states if state != "present"]


def _clauses(text: str) -> Iterator[_Clause]:
    """The clauses of a text, one a finding: commas, "and", "or" and states part them."""
    clause = _Clause()
    broken = True  # whether a comma or the start of the text directly precedes
    units = [unit for unit in _units(text) if _kind(unit[0]) != "filler"]
    end: tuple[Meaning, str] = (Modifier("break"), "")
    for (meaning, words), (following, _) in pairwise([*units, end, end]):
        kind = _kind(meaning)
        if kind == "state" and _acts_on_preceding(clause, meaning, words, following):
            clause.add(meaning, words)
            continue
        if kind in _PARTING or (kind == "state" and clause.noun):
            joined = None
            if clause.text:
                yield clause
            elif clause.joined or kind == "or":
                raise InputError(f"cannot tell what {words or 'the last word'!r} joins in a prompt")
            if isinstance(meaning, Modifier) and kind in _PARTING:
                restart = broken and meaning.value == "with"  # "..., with edema" extends no scope
                joined = meaning if kind != "break" and not restart else None
                broken = kind == "break"
            clause = _Clause(joined)
        if kind not in _PARTING:
            clause.add(meaning, words)
            broken = False


def _kind(meaning: Meaning) -> str:
    return meaning.kind if isinstance(meaning, Modifier) else "finding"


def _acts_on_preceding(clause: _Clause, state: Meaning, words: str, following: Meaning) -> bool:
    """Whether a state describes the finding before it: "pneumonia is unlikely".

    Raises InputError where there is none, and where the finding is joined to another.
    """
    follows = state.follows if isinstance(state, Modifier) else "never"
    if follows == "must" and not clause.noun:
        raise InputError(f"{words!r} must follow a finding")
    ends = follows == "must" or (follows == "may" and _kind(following) in _PARTING)
    if ends and clause.noun and clause.joined:
        raise InputError(
            f"{words!r} leaves open whether it describes more than '{clause}': use a comma"
        )
    return ends and clause.noun is not None


def _share_noun(first: _Clause, second: _Clause) -> None:
    """Give a side without a noun that of the other side: "moderate right and small left effusion".

    Raises InputError where one side is described more fully than the other.
    """
    sides = {clause.modifiers.get("side") for clause in (first, second)}
    joined = second.joined is not None and second.joined.value in ("and", "&")
    if first.noun or not second.noun or not joined or sides != {"left", "right"}:
        return
    if first.modifiers.keys() != second.modifiers.keys():
        raise InputError(
            f"'{first} and {second}' leaves open what describes which side: give both sides a "
            "severity or neither, both a place or neither"
        )
    first.noun, second.other_side = second.noun, True


def _settle_scope(clause: _Clause, scope: list[State]) -> None:
    """Extend "no" and "possible" over an "or"; refuse an "and" that may or may not extend them.

    An "and" between two sides extends "possible".
    """
    if clause.joined is None or clause.states:
        return
    if scope and (clause.joined.kind == "or" or (clause.other_side and "absent" not in scope)):
        clause.states = list(scope)
    elif clause.joined.kind == "or":
        raise InputError(f"'or' before '{clause}' leaves open which: use a comma")
    elif scope:
        raise InputError(
            f"'and' before '{clause}' leaves open whether it is absent or uncertain "
            "too: use a comma, and write 'no' or 'possible' before each finding"
        )


def _units(text: str) -> Iterator[tuple[Meaning, str]]:
    """The meanings of a text in order, each with its words; the longest known phrase wins."""
    words: list[str] = []
    for free, separator, word, unmatched in _TOKEN.findall(text):
        if word:
            words.append(word.lower())
            continue
        yield from _meanings(words)
        words = []
        if unmatched:
            raise InputError(f"unmatched parenthesis {unmatched!r} in a prompt")
        if separator:
            yield Modifier("break"), separator
        elif free.strip():
            yield Modifier("free", free.strip()), f"({free.strip()})"
    yield from _meanings(words)


def _meanings(words: Sequence[str]) -> Iterator[tuple[Meaning, str]]:
    phrases = prompt_phrases()
    position = 0
    while position < len(words):
        run = longest_phrase(words[position : position + LONGEST], phrases)
        if run is None:
            raise _unknown(words[position:])
        yield from ((meaning, " ".join(run)) for meaning in phrases[run])
        position += len(run)


def _unknown(words: Sequence[str]) -> InputError:
    known = [" ".join(run) for run in prompt_phrases()]
    for length in (3, 2, 1):
        tried = " ".join(words[:length])
        if near := difflib.get_close_matches(tried, known, n=1, cutoff=0.75):
            return InputError(
                f"unknown word {words[0]!r} in a prompt of findings; nearest known: {near[0]!r}"
            )
    return InputError(
        f"unknown word {words[0]!r} in a prompt of findings; findings are: {_known_findings()}"
    )


def _known_findings() -> str:
    return ", ".join(noun for name, noun in NOUNS.items() if name != "No Finding")
