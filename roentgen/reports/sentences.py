"""Sentence splitter for radiology reports.

Reports are telegraphic, wrapped, numbered and de-identified: "1. Stable T12 XXXX.  2. 3.5 cm. mass
per Dr. ___." A period ends a sentence unless it belongs to an abbreviation, a list number or a
unit; so do a blank line, the start of a list item, and the end of a line that is not wrapped.
"""

import re

from roentgen.reports.lines import ITEM, WIDE, LineStructure, with_line_feeds

# A period after one of these never ends a sentence.
_ABBREVIATIONS = frozenset(
    ("dr", "drs", "mr", "mrs", "ms", "prof", "st", "vs", "e.g", "i.e", "eg", "ie", "cf", "ca")
) | {"approx", "resp", "incl", "esp", "fig", "viz", "dra", "sra", "aprox"}
# A period after these ends one only before a capital: "5 mm. nodule", "8 a.m. film".
_UNITS = frozenset(
    ("mm", "cm", "in", "ft", "mg", "ml", "kg", "lb", "min", "sec", "hr", "hrs", "yr", "yrs", "y.o")
) | {"a.m", "p.m", "am", "pm", "etc", "lat", "post", "ant", "sup", "inf", "bilat", "izq", "dcho"}
# The last four letters of those that have as many.
_LAST_LETTERS = frozenset(word[-4:] for word in _ABBREVIATIONS | _UNITS if len(word) > 3)
_MARK = re.compile(  # a first class of characters is found quickly
    r"[.!?\n*•●▪◦■0-9。；！？](?:(?<=[.!?])(?P<stop>[.!?]*[\"')\]]*)|(?<=\n)(?P<line>\s*)"
    r"|(?<=[*•●▪◦■])(?P<bullet>[*•●▪◦■]*(?=\s))|(?<=[0-9])(?P<number>[0-9]?[.)](?=\s))"
    r"|(?<=[。；！？])(?P<wide>[。；！？]*))"
)
_CAPITALIZED = re.compile(r"[A-Z][a-z]+\b")  # after a missing space: "clear.The heart"
# The number of a list item, alone or after its heading: "1", "Chest 1", "Left knee: 1".
_LIST_NUMBER = re.compile(r"(?:[A-Za-z]+:?\s+){0,2}\(?\d{1,2}\)?$")
_FIRST_NUMBER = re.compile(r"\s{0,9}\(?(\d{1,2})[.)]")
_NEXT = re.compile(r"\s*(\S)")
_ANSWER = re.compile(r"\?\s{0,3}(?:no|none|nil)\s{0,3}(?:[.;,]|$)", re.I)
_WORD = re.compile(r"\w")
# Longer ones are no sentences: divided, they bound the time of every pattern that reads sentences.
LONGEST_SENTENCE = 1000  # characters
_LONGEST_WORD = 100  # characters that are looked at before a period


def sentences(text: str) -> list[str]:
    """The sentences in order, on one line each, without list numbers and lines without words.

    One of more than `LONGEST_SENTENCE` characters is divided between two words.
    """
    return [" ".join(text[start:end].split()) for start, end in sentence_spans(text)]


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Where each of `sentences` is in the text: characters [start, end)."""
    spans: list[tuple[int, int]] = []
    text = with_line_feeds(text)
    lines = LineStructure(text)
    start = 0
    for mark in _MARK.finditer(text):
        if cut := _cut(text, start, mark, lines):
            _append(text, start, cut[0], spans)
            start = cut[1]
    _append(text, start, len(text), spans)
    return spans


def _cut(
    text: str, start: int, mark: re.Match[str], lines: LineStructure
) -> tuple[int, int] | None:
    """Where the sentence that begins at `start` ends and the next begins, if that is at a mark."""
    begin, after = mark.span()
    match mark.lastgroup:
        case "stop":
            return (after, after) if _ends(text, start, begin, after) else None
        case "line":
            parts = "\n" in mark[0][1:] or lines.parts(begin, after)
            return (begin, after) if parts else None
        case "bullet":  # within a line: "* No edema * No effusion"
            return (begin, begin) if text[begin - 1 : begin].isspace() else None
        case "number":
            if _is_next_item(text, start, mark):
                return begin, begin
            ends = text[after - 1] == "." and _ends(text, start, after - 1, after)
            return (after, after) if ends else None
        case _:
            return after, after


def _append(text: str, start: int, end: int, spans: list[tuple[int, int]]) -> None:
    """Append the piece [start, end), if it has words, without its list number and outer space."""
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    if start < end and not text[start].isalpha() and (item := ITEM.match(text, start, end)):
        start = item.end()
    while start < end:
        stop = end
        if start + LONGEST_SENTENCE < end:
            stop = start + LONGEST_SENTENCE
            stop = text.rfind(" ", start, stop) + 1 or stop
        if _WORD.search(text, start, stop):
            spans.append((start, stop if stop == end else start + len(text[start:stop].rstrip())))
        start = stop


def _is_next_item(text: str, start: int, mark: re.Match[str]) -> bool:
    """Whether a number continues the list that the sentence begins: "1. Clear 2. No edema"."""
    number, following = _FIRST_NUMBER.match(text, start), _NEXT.match(text, mark.end())
    return (
        number is not None
        and following is not None
        and following[1].isupper()
        and text[mark.start() - 1 : mark.start()].isspace()
        and int(mark[0][:-1]) == int(number[1]) + 1
    )


def _ends(text: str, start: int, begin: int, after: int) -> bool:
    """Whether the marks [begin, after) end the sentence that begins at `start`."""
    if text[begin] == "?" and _ANSWER.match(text, begin):  # "Pneumothorax? No."
        return False
    last = text[begin - 4 : begin]
    if last.isalpha() and last.lower() not in _LAST_LETTERS and text[after : after + 1].isspace():
        return True
    following = _NEXT.match(text, after)
    if following is None:
        return True
    is_period = "." in text[begin:after]
    previous = text[begin - 1 : begin]
    if after == following.start(1) and not (is_period and _lacks_space(text, begin, after)):
        return False
    if not is_period:  # a lone question mark precedes the suspected finding: "opacity ? pneumonia"
        return begin > start and not previous.isspace()
    before = text[max(start, begin - _LONGEST_WORD) : begin].split()
    word = before[-1].strip("(\"'").lower() if before else ""
    if word in _ABBREVIATIONS:
        return False
    if word in _UNITS and not following[1].isupper():
        return False
    if word == "no" and following[1].isdigit():  # "No. 3"
        return False
    if word[:1].isdigit() and _LIST_NUMBER.match(" ".join(before)):
        return False
    if len(word) == 1 and word.isalpha():  # an initial: "Dr. J. Smith", but not "hepatitis C."
        return len(before) < 2 or before[-2].rstrip(".").lower() not in _ABBREVIATIONS
    return True


def _lacks_space(text: str, begin: int, after: int) -> bool:
    """Whether a period without a space behind it ends a sentence: "clear.The heart"."""
    before, behind = text[begin - 1 : begin], text[after]
    if before >= WIDE and behind >= WIDE:
        return True
    return (
        (before.islower() or before.isdigit() or before in ("X", "_", ")"))
        and after == begin + 1
        and _CAPITALIZED.match(text, after) is not None
    )
