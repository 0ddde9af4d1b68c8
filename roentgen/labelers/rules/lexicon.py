"""Lexicon of a language: every phrase that the rule labeler knows, with its meaning.

The phrases are data, one file a language in `words`. Phrases are found in a tree of words: the
longest one at a word counts, and words without meaning of their own ("cannot be entirely excluded")
are skipped inside it, so the time is linear in the length of a text.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from itertools import product
from pathlib import Path
from typing import Any, Literal, cast, get_args

import yaml

from roentgen.errors import InputError
from roentgen.labelers.rules.tokens import Language, words_of

Kind = Literal[
    # nouns
    "finding",  # "effusion"
    "structure",  # its adjective decides: "heart size"
    "abnormality",  # denied, all is normal: "acute cardiopulmonary abnormality"
    "anatomy",  # where a finding is: "hemithorax"
    "other",  # no finding of ours, with sides and sizes of its own: "thoracotomy"
    "one",  # the noun before: "a moderate one"
    "ignored",
    # modifiers
    "side",
    "severity",
    "place",
    "change",
    "no_size",  # "not large"
    "comparison",  # "greater than"
    "beside",  # where the noun before is: "adjacent"
    "size",  # a number with its unit
    # adjectives of structures
    "enlarged",
    "borderline",
    "normal",
    "clear",
    "not_large",
    # cues for what follows
    "deny",
    "gone",  # within a noun phrase: "resolved"
    "doubt",
    "same",  # present as before: "no change in"
    "historical",
    "assess",  # "evaluation for": uncertain, or nothing where it is limited
    "differential",  # "considerations for", whose verb begins the list
    "over",
    "preferred",  # "favored over"
    "unclear",  # "unclear if"
    # cues for what precedes
    "denied",
    "unseen",  # denies findings, but no devices
    "doubted",
    "historical_before",
    "prior",  # "on the prior study"
    # others
    "none",  # a denial without a noun of its own
    "limited",
    "obscured",
    "either",
    "or",
    "slash",  # as well as, or at least one of: "atelectasis/pneumonia"
    "and",
    "comma",
    "stop",
    "except",  # "other than"
    "open",
    "colon",
    "dash",
    "due",  # begins the cause of the statement before
    "start",  # begins a new statement
    "verb",
    "past",  # "was"
    "shows",
    "in",
    "the",
]
MODIFIERS: frozenset[Kind] = frozenset(
    {"side", "severity", "place", "change", "no_size", "comparison", "size", "beside"}
)
_LISTS: dict[str, Kind] = {
    "ignored": "ignored",
    "anatomy": "anatomy",
    "others": "other",
    "abnormalities": "abnormality",
    "no_size": "no_size",
    "comparisons": "comparison",
}
_MEANINGS: dict[str, Kind] = {
    "findings": "finding",
    "structures": "structure",
    "sides": "side",
    "severities": "severity",
    "places": "place",
    "changes": "change",
    "doubt": "doubt",
    "doubted": "doubted",
}
_CUES = frozenset(get_args(Kind)) - {*_LISTS.values(), *_MEANINGS.values(), "size"}
_SPELLED: frozenset[Kind] = frozenset({"finding", "structure", "abnormality", "place", "side"})
_LONG_WORD = 7  # letters, from which a misspelling is corrected
_LONGER_WORD = 11
_MOST_SKIPPED = 3  # words inside a phrase
_TIMES = ("x", "by", "×", "*")
_UNITS = {"mm": 1.0, "millimeter": 1.0, "millimeters": 1.0, "cm": 10.0, "centimeter": 10.0}
_UNITS |= {"centimeters": 10.0, "毫米": 1.0, "厘米": 10.0}


@dataclass(frozen=True, slots=True)
class Meaning:
    """The meaning of a phrase: its kind, and the names that the words' file gives it.

    `names` are nodes of the hierarchy of findings, a side, a severity, places, a change or a degree
    of doubt, by the kind.
    """

    kind: Kind
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Phrase:
    """A phrase of the lexicon at tokens[start:end] of a sentence."""

    kind: Kind
    names: tuple[str, ...]
    start: int
    end: int


@dataclass(slots=True)
class _Branch:
    """A word in the tree of phrases."""

    meaning: Meaning | None = None
    words: dict[str, "_Branch"] = field(default_factory=dict)


class Lexicon:
    """The phrases of a language."""

    def __init__(self, language: Language, plain: Mapping[str, Any]) -> None:
        self.language = language
        self.modifiers_precede = plain["modifiers"] == "before"
        self.replaced_by: Mapping[str, Sequence[str]] = plain.get("replaced_by", {})
        self._root = _Branch()
        nouns: set[str] = set()
        for meaning, template in _entries(plain):
            for phrase in _expand(template):
                words = self._words(phrase)
                self._add(words, meaning)
                if meaning.kind in _SPELLED:
                    nouns.update(words)
        vocabulary = {word for words in self.phrases() for word in words}
        self._skipped = {
            w for t in plain["transparent"] for p in _expand(t) for w in self._words(p)
        }
        self._suffix: str = plain["suffix"]
        self._variants = _variants(plain)
        self._meaningful = vocabulary
        correct = {w for t in plain["spelled"] for p in _expand(t) for w in self._words(p)}
        long = tuple(w for w in sorted(nouns) if len(w) >= _LONG_WORD and w.isalpha())
        self._spelling = lru_cache(maxsize=1 << 16)(
            lambda word: word if word in correct else self._nearest(word, long)
        )

    def phrases(self) -> Iterator[tuple[str, ...]]:
        """Every phrase, as its words."""
        stack: list[tuple[tuple[str, ...], _Branch]] = [((), self._root)]
        while stack:
            words, branch = stack.pop()
            if branch.meaning:
                yield words
            stack += [((*words, word), below) for word, below in branch.words.items()]

    def meaning_of(self, text: str) -> Meaning | None:
        """The meaning of a text that is one phrase."""
        branch: _Branch | None = self._root
        for word in self._words(text):
            branch = branch.words.get(word) if branch else None
        return branch.meaning if branch else None

    def find(self, words: Sequence[str]) -> list[Phrase]:
        """The phrases in a sentence, in order, without overlap; the longest at each word."""
        found: list[Phrase] = []
        spelled = [word if len(word) < _LONG_WORD else self._spelled(word) for word in words]
        if self._variants:
            spelled = [self._variants.get(word, word) for word in spelled]
        i = 0
        while i < len(spelled):
            if spelled[i][0].isdigit() and (size := _size(spelled, i)):
                found.append(size)
                i = size.end
                continue
            branch = self._root.words.get(spelled[i])
            longest = self._longest(spelled, i + 1, branch, 0) if branch else None
            if longest is None:
                i += 1
                continue
            meaning, end = longest
            if meaning.kind == "place" and (root := self._root.words.get(spelled[end - 1])):
                # The last word may begin a finding: "left lower lobe collapse".
                noun = self._longest(spelled, end, root, 0)
                if noun and noun[0].kind == "finding" and noun[1] > end:
                    found.append(Phrase(meaning.kind, meaning.names, i, end))
                    i = end - 1
                    continue
            if meaning.kind == "finding" and end > i + 1:
                found += self._inside(spelled, i, end)
            found.append(Phrase(meaning.kind, meaning.names, i, end))
            i = end
        return found

    def unknown(self, words: Sequence[str], found: Sequence[Phrase]) -> frozenset[int]:
        """The positions of words that no phrase has and that are not skipped inside phrases."""
        known = {i for phrase in found for i in range(phrase.start, phrase.end)}
        return frozenset(
            i
            for i, word in enumerate(words)
            if i not in known and word[0].isalpha() and not self._is_skipped(word)
        )

    def _inside(self, words: Sequence[str], start: int, end: int) -> Iterator[Phrase]:
        """The sides, severities and places inside a phrase: "fluid in the left pleural space"."""
        i = start
        while i < end:
            meaning, after = self._modifier(words[:end], i)
            if meaning:
                yield Phrase(meaning.kind, meaning.names, i, after)
            i = after

    def _modifier(self, words: Sequence[str], i: int) -> tuple[Meaning | None, int]:
        """The side, severity or place at words[i], and the word behind it."""
        branch = self._root.words.get(words[i])
        longest = self._longest(words, i + 1, branch, 0) if branch else None
        for meaning, end in (longest, (branch and branch.meaning, i + 1)) if longest else ():
            if meaning and meaning.kind in ("side", "severity", "place"):
                return meaning, end
        return None, i + 1

    def _longest(
        self, words: Sequence[str], i: int, branch: _Branch, skipped: int
    ) -> tuple[Meaning, int] | None:
        """The meaning and the end of the longest phrase that goes through `branch` to words[i]."""
        best = None if branch.meaning is None else (branch.meaning, i)
        if i == len(words) or not branch.words:
            return best
        word = words[i]
        below = branch.words.get(word)
        through = self._longest(words, i + 1, below, skipped) if below else None
        if skipped < _MOST_SKIPPED and branch.words and self._is_skipped(word):
            past = self._longest(words, i + 1, branch, skipped + 1)
            if past and past[1] > max(i + 1, through[1] if through else 0):
                return past
        return through or best

    def _is_skipped(self, word: str) -> bool:
        """Whether a word inside a phrase changes nothing: "cannot be definitively excluded"."""
        if word in self._skipped:
            return True
        return bool(self._suffix) and word.endswith(self._suffix) and len(word) > 4

    def _spelled(self, word: str) -> str:
        if word in self._meaningful or not word.isalpha():
            return word
        return self._spelling(word)

    def _nearest(self, word: str, known: Sequence[str]) -> str:
        """The long known word that differs by one letter or two exchanged ones, or the word itself.

        From 11 letters on, by two. The first letter must be the same, and all words that are as
        near must mean the same.
        """
        most = 1 if len(word) < _LONGER_WORD else 2
        for distance in range(1, most + 1):
            near = [
                other
                for other in known
                if other[0] == word[0]
                and abs(len(other) - len(word)) <= distance
                and _differs(word, other, distance)
            ]
            if near:
                return near[0] if len({self.meaning_of(other) for other in near}) == 1 else word
        return word

    def _words(self, text: str) -> tuple[str, ...]:
        return tuple(words_of(text, self.language))

    def _add(self, words: tuple[str, ...], meaning: Meaning) -> None:
        branch = self._root
        for word in words:
            branch = branch.words.setdefault(word, _Branch())
        branch.meaning = meaning


@cache
def lexicon(language: Language) -> Lexicon:
    """The lexicon of a language, read from its file of words once."""
    path = Path(__file__).parent / "words" / f"{language}.yaml"
    with path.open(encoding="utf-8") as file:
        return Lexicon(
            language, yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        )


def _entries(plain: Mapping[str, Any]) -> Iterator[tuple[Meaning, str]]:
    """Every template with its meaning; of two meanings of a phrase the later one holds."""
    known = {
        *_MEANINGS,
        *_LISTS,
        "language",
        "modifiers",
        "cues",
        "transparent",
        "suffix",
        "spelled",
        "variants",
        "replaced_by",
    }
    if unknown := set(plain) - known:
        raise InputError(f"file of words has an unknown section: {', '.join(sorted(unknown))}")
    cues = {tuple(key.split(", ")): templates for key, templates in plain["cues"].items()}
    if unknown := {cue for cue, *_ in cues} - _CUES:
        raise InputError(f"file of words has an unknown cue: {', '.join(sorted(unknown))}")
    for (kind, *names), templates in cues.items():
        for template in templates:
            yield Meaning(cast(Kind, kind), tuple(names)), template
    for section in ("structures", "sides", "severities", "places", "changes", "doubt", "doubted"):
        yield from _meanings(plain, section)
    for section in ("anatomy", "others", "no_size", "comparisons"):
        for template in plain.get(section, ()):
            yield Meaning(_LISTS[section]), template
    yield from _meanings(plain, "findings")
    for section in ("abnormalities", "ignored"):
        for template in plain.get(section, ()):
            yield Meaning(_LISTS[section]), template


def _variants(plain: Mapping[str, Any]) -> dict[str, str]:
    """The character of the file of words for each variant of it."""
    return {
        one: word
        for variants, words in plain.get("variants", {}).items()
        for one, word in zip(variants, words, strict=True)
    }


def _meanings(plain: Mapping[str, Any], section: str) -> Iterator[tuple[Meaning, str]]:
    for names, templates in plain.get(section, {}).items():
        meaning = Meaning(_MEANINGS[section], tuple(names.split(", ")))
        for template in templates:
            yield meaning, template


def _expand(template: str) -> Iterator[str]:
    """Every phrase that a template generates."""
    slots: list[tuple[str, ...]] = []
    for slot in template.split():
        optional = slot.endswith("?") and len(slot) > 1
        words = tuple((slot[:-1] if optional else slot).split("|"))
        slots.append((*words, "") if optional else words)
    for choice in product(*slots):
        if phrase := " ".join(word for word in choice if word):
            yield phrase


def _size(words: Sequence[str], i: int) -> Phrase | None:
    """A length at words[i]: "4 mm", "2.5 x 3 cm". Its name is the largest in millimeters."""
    numbers, end = [words[i]], i + 1
    while end + 1 < len(words) and words[end] in _TIMES and words[end + 1][:1].isdigit():
        numbers.append(words[end + 1])
        end += 2
    for length in (1, 2):
        unit = "".join(words[end : end + length])
        if unit in _UNITS:
            try:
                largest = max(float(number) for number in numbers) * _UNITS[unit]
            except ValueError:
                return None
            return Phrase("size", (f"{largest:g}",), i, end + length)
    return None


def _differs(word: str, other: str, most: int) -> bool:
    """Whether the optimal string alignment distance is at most `most` (Damerau 1964)."""
    before: list[int] = []
    last = list(range(len(other) + 1))
    for i, letter in enumerate(word, 1):
        row = [i]
        for j, target in enumerate(other, 1):
            cost = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (letter != target))
            if i > 1 and j > 1 and letter == other[j - 2] and word[i - 2] == target:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        if min(row) > most + 1:
            return False
        before, last = last, row
    return last[-1] <= most
