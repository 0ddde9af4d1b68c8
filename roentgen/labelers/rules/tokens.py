"""Tokens of a sentence: words in their normal form, numbers and separators, and their places.

English words are lower-cased, Spanish ones stemmed (Snowball) and stripped of accents, so that full
texts and stemmed ones such as PadChest's read alike; each Chinese character is a token.
"""

import re
import unicodedata
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Literal

from roentgen.errors import InputError

Language = Literal["en", "es", "zh"]

_CJK = "\u3400-\u9fff"
_TOKEN = re.compile(
    r"(?<=\d)[xX×*＊](?=\d)|[<>＜＞](?=\s?\d)|(?<=[(（])-(?=[)）])"
    rf"|[^\W\d_{_CJK}]+(?=[nN]['’][tT](?![^\W_]))|[nN]['’][tT](?![^\W_])"
    rf"|[{_CJK}]|[^\W\d_{_CJK}]+\d+(?![^\W_])|[^\W\d_{_CJK}]+(?:['’][^\W\d_]+)?"
    r"|\d+(?:[.．]\d+)?|[,;:()/&?.!。，；：、（）／？！]|(?<!\S)[-–—](?!\S)|[–—×]"
)
# The same of a text in lower case without other characters.
_ASCII_TOKEN = re.compile(
    r"(?<=\d)[x*](?=\d)|[<>](?=\s?\d)|(?<=\()-(?=\))"
    r"|[a-z]+(?=n't(?![a-z\d]))|n't(?![a-z\d])"
    r"|[a-z]+\d+(?![a-z\d])|[a-z]+(?:'[a-z]+)?|\d+(?:\.\d+)?|[,;:()/&?.!]|(?<!\S)-(?!\S)"
)
# Spanish words whose stem is that of another word: "masa" is a mass, "más" is more.
_OWN_STEMS = {"masa": "masa", "masas": "masa"}
# Full-width characters as plain ones, and brackets and bars as the separators that they are.
_PLAIN = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {
    ord(one): ord(other) for one, other in zip("[]{}=|", "()()::", strict=True)
}
# Other forms of the separators.
_SAME = dict(zip("，；：、（）／？！–—。＊", ",;:,()/?!--.*", strict=True)) | {"’": "'"}


def words_of(text: str, language: Language) -> list[str]:
    """The tokens of a text in their normal form."""
    text = text.translate(_PLAIN)
    if language == "en" and text.isascii():  # the most frequent case, and the fastest
        words = _ASCII_TOKEN.findall(text.lower())
        return ["not" if word == "n't" else word for word in words] if "n't" in words else words
    return list(map(normal_form(language), _TOKEN.findall(text)))


def token_spans(text: str) -> list[tuple[int, int]]:
    """The characters [start, end) of each token of a text."""
    return [match.span() for match in _TOKEN.finditer(text.translate(_PLAIN))]


@cache
def normal_form(language: Language) -> Callable[[str], str]:
    """The function that gives a word's normal form in a language."""
    match language:
        case "es":
            return lru_cache(maxsize=1 << 16)(_spanish_stem)
        case "zh":
            return lru_cache(maxsize=1 << 16)(_half_width)
        case _:
            return _lower


def _lower(word: str) -> str:
    plain = _SAME.get(word) or word.lower().replace("’", "'")
    return "not" if plain == "n't" else plain  # "isn't"


def _half_width(word: str) -> str:
    """A word or separator in half width; "、", which only lists, stays apart from the comma."""
    return word if word == "、" else _lower(unicodedata.normalize("NFKC", word))


def _spanish_stem(word: str) -> str:
    """A stem that is its own stem, so that stemmed texts have the same."""
    stem = _lower(word)
    if stem in _OWN_STEMS:
        return _OWN_STEMS[stem]
    while (shorter := _without_accents(_stemmer()(stem))) != stem:
        stem = shorter
    return stem


def _without_accents(word: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c))


@cache
def _stemmer() -> Callable[[str], str]:
    try:
        import snowballstemmer
    except ImportError as error:
        raise InputError("Spanish reports need a package: pip install -e '.[spanish]'") from error
    stem: Callable[[str], str] = snowballstemmer.stemmer("spanish").stemWord
    return stem
