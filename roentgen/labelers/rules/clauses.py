"""Clauses of a sentence: where a cue's scope ends.

"No pneumothorax, left effusion" are two clauses, "no nodule, large effusion or pneumothorax" is
one: a comma or an "and" begins a clause where the words behind it cannot continue a list.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal

from roentgen.labelers.rules.lexicon import MODIFIERS, Kind, Phrase
from roentgen.statements.hierarchy import labels_of

_ENDS: frozenset[Kind] = frozenset({"stop", "except", "start", "due", "open", "colon", "dash"})
# What follows a comma or an "and" only where a clause begins.
_BEGINS: frozenset[Kind] = frozenset(
    {"deny", "gone", "same", "historical", "none", "verb", "past", "shows"}
)
_BACKWARD: frozenset[Kind] = frozenset({"denied", "unseen", "doubted", "historical_before"})
_PREDICATES: frozenset[Kind] = _BACKWARD | {"verb", "past", "shows", "limited", "obscured"}
_CHOICES: tuple[Kind, ...] = ("or", "slash")
_LISTING: tuple[Kind, ...] = ("comma", "and", *_CHOICES)
_GRADES: frozenset[Kind] = frozenset({"enlarged", "borderline", "normal", "clear", "not_large"})
_LOOK_AHEAD = 40  # phrases; no list of findings is longer


@dataclass(slots=True)
class Clause:
    """The phrases of a clause, and the phrase that begins it, if one does."""

    phrases: list[Phrase]
    start: int = 0  # its first token
    end: int = 0  # the token after its last one
    opening: Kind | None = None
    title: bool = False  # a colon ends it, and it has neither verb nor cue: "Pneumothorax: none"


@dataclass(slots=True)
class _Open:
    """What is known of the clause that is being read."""

    modifiers_precede: bool
    scope: Literal["deny", "list", "adjective"] | None = None
    noun: bool = False  # a finding or structure in that scope
    joined: bool = False  # an "or" or "and" before the last noun: the list is complete
    predicate: bool = False  # a verb or a cue after the noun
    verb: bool = False


def clauses_of(
    phrases: Sequence[Phrase],
    length: int,
    unknown: Container[int],
    *,
    modifiers_precede: bool = True,
) -> list[Clause]:
    """The clauses of a sentence of `length` tokens, in order; each has at least one phrase.

    `unknown`: the positions of words that no phrase has. `modifiers_precede`: whether modifiers
    stand in front of the noun that they describe.
    """
    clauses = [Clause([], 0, length)]
    state = _Open(modifiers_precede)
    for i, phrase in enumerate(phrases):
        ends = phrase.kind in _ENDS and not _continues(phrases, i)
        if ends or (phrase.kind in ("comma", "and") and _begins_clause(phrases, i, state, unknown)):
            before = clauses[-1]
            before.title = phrase.kind == "colon" and _is_title(before.phrases)
            if before.phrases:
                before.end = phrase.start
                clauses.append(Clause([], phrase.end, length, phrase.kind))
            elif before.opening not in ("colon", "dash", "open"):
                before.opening, before.start = phrase.kind, phrase.end
            state = _Open(modifiers_precede)
            continue
        if _is_new_subject(phrases, i, state):
            clauses[-1].end = phrase.start
            clauses.append(Clause([], phrase.start, length))
            state = _Open(modifiers_precede)
        clauses[-1].phrases.append(phrase)
        _update(state, phrase)
    return [clause for clause in clauses if clause.phrases]


def _is_new_subject(phrases: Sequence[Phrase], i: int, state: _Open) -> bool:
    """Whether a structure at phrases[i] begins a statement: "no effusion heart mildly enlarged"."""
    if phrases[i].kind != "structure" or not (state.scope and state.noun) or not i:
        return False
    following = takewhile(lambda p: p.kind not in _ENDS | {"comma", "and"}, phrases[i + 1 :])
    return phrases[i - 1].kind == "finding" and any(p.kind in _GRADES for p in following)


def _continues(phrases: Sequence[Phrase], i: int) -> bool:
    """Whether a clause goes on: "possibly due to", "a small but unchanged effusion"."""
    if not 0 < i < len(phrases) - 1:
        return False
    if "contrast" in phrases[i].names:
        return {phrases[i - 1].kind, phrases[i + 1].kind} == {"severity", "change"}
    return phrases[i].kind in ("start", "due") and phrases[i - 1].kind == "doubt"


def _update(state: _Open, phrase: Phrase) -> None:
    match phrase.kind:
        case "deny" | "assess":
            state.scope, state.noun, state.joined, state.predicate = "deny", False, False, False
        case "doubt":
            if state.scope != "deny":
                listing = "list" in phrase.names
                state.scope = "list" if listing else "adjective"
                state.noun = state.joined = state.predicate = False
        case "gone":
            state.scope, state.noun, state.joined, state.predicate = (
                "adjective",
                False,
                False,
                False,
            )
        case "differential":
            state.scope = "list"
        case "or" | "slash" | "and":
            state.joined = state.noun
        case "finding" | "structure" | "abnormality" | "other" | "one":
            state.noun = True
        case "verb" | "past" | "shows":
            state.verb = True
            state.predicate = state.noun and state.scope != "list"
        case kind if kind in _BACKWARD:
            state.predicate = True


def _begins_clause(
    phrases: Sequence[Phrase], i: int, state: _Open, unknown: Container[int]
) -> bool:
    """Whether a clause begins after the comma or "and" at phrases[i].

    By its names in the file of words one "list"s only, or begins a "clause" but between modifiers
    and between the nouns of an "or".
    """
    foreign = phrases[i].start - 1 in unknown  # a noun that no phrase has
    comma, names, first = phrases[i].kind == "comma", phrases[i].names, i
    modifiers = all(phrase.kind in MODIFIERS for phrase in phrases[:i])
    while i < len(phrases) and phrases[i].kind in ("comma", "and"):
        i += 1
    if i == len(phrases) or phrases[i].kind in ("or", "slash") or phrases[i].kind in _ENDS:
        return False
    kind = phrases[i].kind
    if kind in _BEGINS or kind in _BACKWARD:
        return True
    rest = phrases[i : i + _LOOK_AHEAD]
    following = next((p.kind for p in rest if p.kind not in (*MODIFIERS, "finding", "slash")), None)
    valued = comma and phrases[first - 1].kind != "finding"
    if kind == "finding" and valued and following in ("colon", "dash", "none"):
        return True  # "effusion: small, pneumothorax: none"
    if kind in MODIFIERS and following in ("clear", "normal") and state.scope is None:
        return True  # "opacity at the right base, left base clear"
    if "list" in names:
        return False
    if "clause" in names:
        nouns = takewhile(lambda p: p.kind in (*_LISTING, "finding"), rest)
        return not modifiers and not (state.scope and any(p.kind in _CHOICES for p in nouns))
    if state.scope is None or state.predicate:
        return state.predicate or ((kind == "the" or state.verb) and _has_predicate(rest))
    reach = takewhile(lambda p: p.kind not in _ENDS | {"deny"}, rest)
    listed = any(p.kind in _CHOICES for p in reach)
    if not state.noun and (comma or not state.verb):
        if kind in MODIFIERS or kind == "doubt":  # "no goiter, possible fracture"
            return foreign and not listed
        if kind == "finding" and foreign and phrases[i - 1].kind == "and":
            return _has_predicate(rest)  # "was not able to breathe in, and edema is present"
        return kind in ("structure", "the")  # but "no acute, displaced fracture"
    if listed:
        return False
    if state.joined and kind in MODIFIERS | {"finding", "structure", "the"}:
        return True
    if state.scope == "list":
        return kind == "structure" or (comma and _has_predicate(rest))
    if kind == "finding":
        if comma and _is_device(phrases[i]) and not _is_device(phrases[first - 1]):
            return True  # "no effusion, pacemaker in place"
        described = not state.modifiers_precede and _is_described(rest)
        return comma and (state.scope == "adjective" or described or _has_predicate(rest))
    return kind in MODIFIERS or kind in ("the", "structure", "doubt")


def _is_device(phrase: Phrase) -> bool:
    return phrase.kind == "finding" and "Support Devices" in labels_of(phrase.names[0])


def _is_described(phrases: Sequence[Phrase]) -> bool:
    """Whether a modifier follows the noun at the beginning, and no list goes on behind it."""
    kinds = [phrase.kind for phrase in phrases]
    return len(kinds) > 1 and kinds[1] in MODIFIERS and "deny" not in kinds


def _has_predicate(phrases: Sequence[Phrase]) -> bool:
    """Whether a verb or a cue follows the noun at the beginning, before anything else is joined."""
    for phrase in phrases:
        if phrase.kind in _PREDICATES:
            return True
        if phrase.kind in _ENDS or phrase.kind in ("comma", "and", "or", "slash", "deny"):
            return False
    return False


def _is_title(phrases: Sequence[Phrase]) -> bool:
    kinds = {phrase.kind for phrase in phrases}
    nouns = {"finding", "structure", "anatomy", "other", "abnormality"}
    return bool(kinds & nouns) and kinds <= nouns | MODIFIERS | {"comma", "and", "or", "the", "in"}
