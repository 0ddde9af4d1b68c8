"""Where a sentence speaks of what: its words, looked up in the lexicon.

From each word the longest phrase is taken, by dictionary look-up: the time grows with the length
of the text and with nothing else, whatever the text is.
"""

import re
from collections import defaultdict
from dataclasses import dataclass

from roentgen.labelers.rules.lexicon import LEXICON, Meaning

_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?|\d+(?:\.\d+)?|[,;:()/&]")


@dataclass(frozen=True, slots=True)
class Unit:
    """A phrase with a meaning, and where it was found: words[start:end] of the sentence."""

    meaning: Meaning
    start: int
    end: int


def _lengths() -> dict[str, tuple[int, ...]]:
    """How many words the phrases have that begin with a word, the longest first."""
    lengths: defaultdict[str, set[int]] = defaultdict(set)
    for phrase in LEXICON:
        lengths[phrase[0]].add(len(phrase))
    return {word: tuple(sorted(counts, reverse=True)) for word, counts in lengths.items()}


_LENGTHS = _lengths()


def words_of(sentence: str) -> list[str]:
    """Words, numbers and separators in lower case; a hyphen parts words."""
    return _WORD.findall(sentence.lower())


def find_units(words: list[str]) -> list[Unit]:
    """The phrases of the lexicon in a sentence, in order, none overlapping."""
    units: list[Unit] = []
    i = 0
    while i < len(words):
        for length in _LENGTHS.get(words[i], ()):
            meaning = LEXICON.get(tuple(words[i : i + length]))
            if meaning:
                units.append(Unit(meaning, i, i + length))
                i += length
                break
        else:
            i += 1
    return units
