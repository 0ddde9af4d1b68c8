"""Phrase lookup: the lexicon's phrases in a sentence, with their positions.

At each word the longest phrase is taken, by dictionary lookup: the time is linear in the length of
any text.
"""

import re
from collections import defaultdict
from dataclasses import dataclass

from roentgen.labelers.rules.lexicon import LEXICON, Meaning

_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?|\d+(?:\.\d+)?|[,;:()/&]")


@dataclass(frozen=True, slots=True)
class PhraseMatch:
    """A phrase of the lexicon at words[start:end] of a sentence."""

    meaning: Meaning
    start: int
    end: int


def _lengths() -> dict[str, tuple[int, ...]]:
    """The numbers of words of the phrases that begin with a word, the longest first."""
    lengths: defaultdict[str, set[int]] = defaultdict(set)
    for phrase in LEXICON:
        lengths[phrase[0]].add(len(phrase))
    return {word: tuple(sorted(counts, reverse=True)) for word, counts in lengths.items()}


_LENGTHS = _lengths()


def words_of(sentence: str) -> list[str]:
    """The words, numbers and separators in lower case; a hyphen separates words."""
    return _WORD.findall(sentence.lower())


def find_phrases(words: list[str]) -> list[PhraseMatch]:
    """The phrases of the lexicon in a sentence, in order, without overlap."""
    matches: list[PhraseMatch] = []
    i = 0
    while i < len(words):
        for length in _LENGTHS.get(words[i], ()):
            meaning = LEXICON.get(tuple(words[i : i + length]))
            if meaning:
                matches.append(PhraseMatch(meaning, i, i + length))
                i += length
                break
        else:
            i += 1
    return matches
