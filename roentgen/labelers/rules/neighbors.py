"""Neighbors of a phrase in its clause: the modifiers that it begins, what stands beside it."""

from collections.abc import Sequence

from roentgen.labelers.rules.lexicon import MODIFIERS, Kind, Phrase

LINKS: tuple[Kind, ...] = ("or", "slash", "and")
JOINS: tuple[Kind, ...] = (*LINKS, "comma")
_CONNECTIVES: tuple[Kind, ...] = (*JOINS, "the", "in")


def modifier_run(phrases: Sequence[Phrase], i: int) -> tuple[list[Phrase], int]:
    """The modifiers from phrases[i] on with what joins them, and the index behind them."""
    run: list[Phrase] = []
    while i < len(phrases):
        kind = phrases[i].kind
        if "contrast" in phrases[i].names:  # "small but unchanged"
            i += 1
            continue
        if kind in MODIFIERS or (_joins_modifiers(phrases, i) and kind in JOINS):
            run.append(phrases[i])
        elif not _joins_modifiers(phrases, i):
            break
        i += 1
    return run, i


def _joins_modifiers(phrases: Sequence[Phrase], i: int) -> bool:
    """Whether modifiers follow a connective at phrases[i], with no other word in front of it."""
    if phrases[i].kind not in _CONNECTIVES or phrases[i - 1].end != phrases[i].start:
        return False
    while i < len(phrases) and phrases[i].kind in _CONNECTIVES:
        i += 1
    return i < len(phrases) and phrases[i].kind in MODIFIERS


def follows_preposition(phrases: Sequence[Phrase], i: int) -> bool:
    """Whether a preposition precedes phrases[i]: "in the left base"."""
    while i and phrases[i - 1].kind == "the":
        i -= 1
    return i > 0 and phrases[i - 1].kind == "in"


def is_complement(phrases: Sequence[Phrase], i: int) -> bool:
    """Whether the noun at phrases[i] follows a preposition: "changes of emphysema"."""
    while i and phrases[i - 1].kind in (*MODIFIERS, "the"):
        i -= 1
    return i > 0 and phrases[i - 1].kind == "in"


def is_fronted(phrases: Sequence[Phrase], i: int) -> bool:
    """Whether the modifiers at phrases[i] begin a statement: "and on the left, a small one"."""
    while i and phrases[i - 1].kind in ("the", "in"):
        i -= 1
    return i > 0 and phrases[i - 1].kind in ("comma", "and")


def precedes_finding(phrases: Sequence[Phrase], i: int) -> bool:
    """Whether only modifiers part phrases[i] from a finding: "is likely a small effusion"."""
    i += 1
    while i < len(phrases) and phrases[i].kind in (*MODIFIERS, "the", "normal"):
        i += 1
    return i < len(phrases) and phrases[i].kind == "finding"


def precedes_noun(phrases: Sequence[Phrase], i: int) -> bool:
    """Whether only modifiers, which may be joined, part phrases[i] from a finding or structure."""
    end = i + 1
    if end < len(phrases) and phrases[end].kind in MODIFIERS:
        _, end = modifier_run(phrases, end)
    noun = end < len(phrases) and phrases[end].kind in ("finding", "structure")
    return noun or precedes_finding(phrases, i)


def joins(phrase: Phrase) -> bool:
    """Whether it is a comma or a conjunction."""
    return phrase.kind in JOINS


def locates(phrase: Phrase) -> bool:
    """Whether it is a side or a place."""
    return phrase.kind in ("side", "place")
