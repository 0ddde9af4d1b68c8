"""Cleaning of a report section: removes formatting, de-identification blanks and correspondence.

Wrapped lines are joined, and lines that are statements end with a stop. List numbers and
de-identification blanks ("___" in MIMIC-CXR, "XXXX" in Open-i) are removed, and so is the
correspondence that is dictated with a report: with whom it was discussed, at what time, and who
signed it.
"""

import re

from roentgen.reports.blanks import shortened, without_blanks
from roentgen.reports.correspondence import may_correspond, without_correspondence
from roentgen.reports.lines import WIDE, with_line_feeds
from roentgen.reports.sentences import sentence_spans

_HEADED_NUMBER = re.compile(r"^((?:[A-Za-z]+ ){0,1}[A-Za-z]+)(:?) \(?1[.)] (?=[A-Z_])")
_HOUR = re.compile(r"\d ?(?::[0-5]\d|[ap]\.? ?m\b)", re.I)  # a time of day has it
_TIME = re.compile(
    r"(?:,? ?\b(?:at|around) )?(?:approximately )?\b(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d)?"
    r"(?: ?(?:[ap]\.? ?m\b\.?|hours|hrs|h\b))?|,? ?\bat (?:approximately )?\d{1,2} ?[ap]\.?m\b\.?",
    re.I,
)
# What a removal leaves, with a part that each pattern needs: looking for it is quick.
_TIDY: tuple[tuple[tuple[str, ...], re.Pattern[str], str], ...] = tuple(
    (tuple(hints.split("|")), re.compile(pattern), replacement)
    for hints, pattern, replacement in (
        ("(|[|<", r"\(\s*[.,;:/]*\s*\)|\[\s*\]|<\s*>", ""),
        ("  ", r" {2,}", " "),
        (" .| ,| ;| :| )", r" +(?=[.,;:)])", ""),
        ("( ", r"(?<=[(]) +", ""),
        (",,|,;|,:|,.|;,|;;|;:|;.|:,|:;|::|:.", r"[,;:](?=[,;:.])", ""),
        ("..", r"(?<!\.)\.{2,}(?!\.)|\.{4,}", "."),
        (" and.| or.", r"(?<=\w)\s+(?:and|or)(?=[.]$)", ""),
    )
)
_HINTS = (*("__", "XXX", " 1", "(1"), *(hint for hints, _, _ in _TIDY for hint in hints))
_LEADING = " ,;:./)-"
_BETWEEN_WIDE = re.compile(r"(?<=[\u4e00-\u9fff，、：；。]) (?=[\u4e00-\u9fff])")
_WORD = re.compile(r"[^\W\d_]")
_NO_STOP = re.compile(r"[^\s.:;,!?。：；，！？]$")


def clean_section(text: str) -> str:
    """A section on one line, without blanks, list numbers, correspondence and times of day.

    Every sentence about the patient keeps its words and their order; with a blank only the words
    that introduce it ("dated ___") are removed. "" if nothing is left.
    """
    sentences = _with_stops(shortened(with_line_feeds(text)).replace("//", ";"))
    joined = "\n".join(sentences)
    corresponds = may_correspond(joined)
    if corresponds or _needs_cleaning(joined):
        sentences = [
            _clean_sentence(sentence, corresponds=corresponds and may_correspond(sentence))
            for sentence in sentences
        ]
    cleaned = (sentence.lstrip(_LEADING) for sentence in sentences if _WORD.search(sentence))
    return " ".join(sentence[:1].upper() + sentence[1:] for sentence in cleaned)


def _with_stops(text: str) -> list[str]:
    """The sentences of a text; those that end with their line or list item end with a stop."""
    sentences: list[str] = []
    last = 0
    for start, end in sentence_spans(text):
        gap = text[last:start]
        if sentences and gap not in (" ", "  ") and (gap.strip() or "\n" in gap):
            sentence = sentences[-1]
            if _NO_STOP.search(sentence):
                sentences[-1] += "。" if sentence[-1] >= WIDE else "."
        sentences.append(" ".join(text[start:end].split()))
        last = end
    return sentences


def _needs_cleaning(text: str) -> bool:
    """Whether a text has anything that `_clean_sentence` changes: most have nothing."""
    return (
        any(hint in text for hint in _HINTS)
        or _HOUR.search(text) is not None
        or not text.isascii()  # characters of East Asia may have been wrapped
    )


def _clean_sentence(sentence: str, *, corresponds: bool) -> str:
    end = "." if sentence.endswith(".") else ""
    if " 1" in sentence or "(1" in sentence:
        sentence = _HEADED_NUMBER.sub(r"\1. ", sentence)
    if corresponds:
        sentence = without_correspondence(sentence)
    sentence = without_blanks(sentence)
    if _HOUR.search(sentence):
        sentence = _TIME.sub("", sentence)
    sentence = _BETWEEN_WIDE.sub("", sentence)
    for hints, pattern, replacement in _TIDY:
        for hint in hints:
            if hint in sentence:
                sentence = pattern.sub(replacement, sentence)
                break
    sentence = sentence.lstrip(_LEADING).rstrip()
    return sentence + end if end and sentence and sentence[-1] not in ".!?:" else sentence
