"""Context words: what a prompt writes of a patient's clinical context, by rules with thresholds.

    {word: febrile, name: temperature, at_least: 38.0, unit: C, otherwise: afebrile}

The words of a synthetic radiograph are yes-or-no values of these names, never a patient's values.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from roentgen.errors import InputError, require
from roentgen.prompts.vocabulary import SEXES, is_readable
from roentgen.record.context import ContextValue

FILE = Path(__file__).with_name("context_rules.yaml")
_WORD = re.compile(r"[A-Za-z][\w%/'-]*( [\w%/'-]+)*")
_CONTINUES = "on "  # "hypoxic on oxygen", without a comma


@dataclass(frozen=True, kw_only=True)
class ContextRule:
    """When a word is written of a value of the context; at most one threshold is set."""

    word: str
    """What prompts write: "febrile", "after trauma"."""
    name: str
    """The name of the value; without a threshold it is a yes or no."""
    at_least: float | None = None
    """The word is written from this value on."""
    above: float | None = None
    """The word is written above this value."""
    at_most: float | None = None
    """The word is written up to this value."""
    below: float | None = None
    """The word is written below this value."""
    unit: str = ""
    """The unit of the threshold, which must be that of the values."""
    otherwise: str | None = None
    """What prompts write where the value is known and the word is not written; null: nothing."""

    def __post_init__(self) -> None:
        bounds = (self.at_least, self.above, self.at_most, self.below)
        given = sum(bound is not None for bound in bounds)
        require(bool(self.name), f"the context rule of {self.word!r} has no name")
        require(given < 2, f"the context rule of {self.word!r} has {given} thresholds: give one")
        require(
            given == 1 or not self.unit,
            f"the context rule of {self.word!r} has a unit and no threshold: give it one",
        )
        for word in self.words:
            _check_word(word)

    @property
    def words(self) -> tuple[str, ...]:
        """All that it may write."""
        return (self.word,) if self.otherwise is None else (self.word, self.otherwise)

    def holds(self, value: ContextValue) -> bool:
        """Whether the word describes the value. Raises InputError for a value in another unit."""
        if value.unit != self.unit:
            raise InputError(
                f"context value {value.name!r} is in {value.unit or 'no unit'}, but the rule of "
                f"{self.word!r} in {self.unit or 'no unit'}: write the rule for that unit"
            )
        if self.at_least is not None:
            return value.value >= self.at_least
        if self.above is not None:
            return value.value > self.above
        if self.at_most is not None:
            return value.value <= self.at_most
        if self.below is not None:
            return value.value < self.below
        if value.value not in (0, 1):
            raise InputError(
                f"context value {value.name!r} is {value.value:g}, and the rule of {self.word!r} "
                "has no threshold for it: give it one"
            )
        return value.value == 1


def check_rules(rules: Sequence[ContextRule]) -> None:
    """Raise InputError where two rules write the same word, or a word reads as several others."""
    words = [word.lower() for rule in rules for word in rule.words]
    for word in words:
        require(words.count(word) == 1, f"two context rules write {word!r}: one must")
        require(
            not _is_joined(word, [other for other in words if other != word]),
            f"the context word {word!r} reads as several others: choose another",
        )


def _is_joined(text: str, words: Sequence[str]) -> bool:
    """Whether a text is made of these words."""
    starts = (word for word in words if f"{text} ".startswith(f"{word} "))
    return not text or any(_is_joined(text[len(word) :].strip(), words) for word in starts)


def _check_word(word: str) -> None:
    require(
        bool(_WORD.fullmatch(word)),
        f"context word {word!r} must be words with single spaces, without commas",
    )
    first = word.lower().split()[0]
    require(
        first not in SEXES and first != "with" and not is_readable(word),
        f"context word {word!r} is a word of the patient or the findings: choose another",
    )


@cache
def shipped_rules() -> tuple[ContextRule, ...]:
    """The rules of `context_rules.yaml`."""
    return tuple(ContextRule(**rule) for rule in yaml.safe_load(FILE.read_text(encoding="utf-8")))


def last_values(
    values: Iterable[ContextValue], *, imputed: bool = False
) -> dict[str, ContextValue]:
    """By name, the last value before the study, a measured one before one that is imputed.

    Imputed ones count only with `imputed`.
    """
    by_age = sorted(values, key=_age, reverse=True)
    return {value.name: value for value in by_age if imputed or not value.imputed}


def requested_context(
    values: Iterable[ContextValue], rules: Iterable[ContextRule], *, imputed: bool = False
) -> tuple[ContextValue, ...]:
    """What the rules write of values, in their order: yes-or-no values with the words as names.

    Of values of one name `last_values` has the one that counts. A value that is named as the word
    is the answer itself. Raises InputError for a value in another unit than the rule's.
    """
    last = last_values(values, imputed=imputed)
    requested = []
    for rule in rules:
        if (own := last.get(rule.word)) is not None:
            answer, value = own.value == 1, own
        elif (found := last.get(rule.name)) is not None:
            answer, value = rule.holds(found), found
        else:
            continue
        if answer or rule.otherwise is not None:
            requested.append(_answer(rule, value, yes=answer))
    return tuple(requested)


def _age(value: ContextValue) -> tuple[bool, float]:
    minutes = float("inf") if value.minutes_before is None else value.minutes_before
    return value.imputed, minutes


def _answer(rule: ContextRule, value: ContextValue, *, yes: bool) -> ContextValue:
    return ContextValue(
        name=rule.word,
        value=float(yes),
        imputed=value.imputed,
        probability=value.probability,
    )


def context_text(requested: Iterable[ContextValue], rules: Iterable[ContextRule]) -> str:
    """The words of requested values: "febrile, hypoxic on oxygen"."""
    by_word = {rule.word: rule for rule in rules}
    words = [
        rule.word if value.value else rule.otherwise or ""
        for value in requested
        if (rule := by_word.get(value.name))
    ]
    return ", ".join(words).replace(f", {_CONTINUES}", f" {_CONTINUES}")


def split_context(text: str, rules: Sequence[ContextRule]) -> tuple[tuple[ContextValue, ...], str]:
    """The context that a text begins with, in the order of the rules, and the text without it.

    Raises InputError for a rule that is answered twice.
    """
    answers = {word.lower(): (rule, word) for rule in rules for word in rule.words}
    if not answers:
        return (), text
    known = "|".join(re.escape(word) for word in sorted(answers, key=len, reverse=True))
    run = re.compile(rf"\s*({known})(?:\s*[,.;]|\s*$|(?=\s+(?:{known}|with)(?!\w)))", re.IGNORECASE)
    found: dict[str, ContextValue] = {}
    while match := run.match(text):
        rule, word = answers[match[1].lower()]
        if rule.word in found:
            raise InputError(f"{word!r} is given twice in a prompt, or beside its opposite")
        found[rule.word] = ContextValue(name=rule.word, value=float(word == rule.word))
        text = text[match.end() :]
    ordered = (found[rule.word] for rule in rules if rule.word in found)
    return tuple(ordered), text.strip() if found else text


def context_by_hand(
    words: Iterable[str], rules: Sequence[ContextRule], where: str
) -> tuple[ContextValue, ...]:
    """The values of words that are typed by hand, in the order of the rules.

    Raises InputError, which names the place `where`, for a word that no rule writes.
    """
    given = tuple(words)
    for word in given:
        found, rest = split_context(word, rules)
        if not found or rest:
            known = ", ".join(word for rule in rules for word in rule.words)
            raise InputError(f"{where} has the unknown word {word!r}; known: {known}")
    try:
        return split_context(", ".join(given), rules)[0]
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
