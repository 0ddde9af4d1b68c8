"""Sentence splitter for radiology reports.

Reports are telegraphic, wrapped, numbered and de-identified: "1. Stable T12 XXXX.  2. 3.5 cm. mass
per Dr. ___." A period ends a sentence unless it belongs to an abbreviation, a list number or a
unit; a blank line and the start of a list item end one too.
"""

import re

# A period after one of these never ends a sentence.
_ABBREVIATIONS = frozenset(
    ("dr", "drs", "mr", "mrs", "ms", "prof", "st", "vs", "e.g", "i.e", "eg", "ie", "cf", "ca")
) | {"approx", "resp", "incl", "esp", "fig", "viz"}
# A period after these ends one only before a capital: "5 mm. nodule", "8 a.m. film".
_UNITS = frozenset(
    ("mm", "cm", "in", "ft", "mg", "ml", "kg", "lb", "min", "sec", "hr", "hrs", "yr", "yrs", "y.o")
) | {"a.m", "p.m", "am", "pm", "etc", "lat", "post", "ant", "sup", "inf", "bilat"}
_BREAK = re.compile(r"\n\s*\n|\n(?=\s*(?:[-*•]+|\(?\d{1,2}[.)])\s)")
# The last alternative is a missing space: "clear.The heart".
_END = re.compile(r"(?<![.!?])[.!?]++[\"')\]]*+(?=\s|$)|(?<=[a-zX_\d)])[.](?=[A-Z][a-z]++\b)")
_NUMBER = re.compile(r"(?:[-*•]+|\(?\d{1,2}[.)])\s+")
# The number of a list item, alone or after its heading: "1", "Chest 1", "Left knee: 1".
_LIST_NUMBER = re.compile(r"(?:[A-Za-z]+:?\s+){0,2}\(?\d{1,2}\)?$")
_WORD = re.compile(r"\w")
# Longer ones are no sentences: divided, they bound the time of every pattern that reads sentences.
LONGEST_SENTENCE = 1000  # characters
_LONGEST_WORD = 100  # characters that are looked at before a period


def sentences(text: str) -> list[str]:
    """The sentences in order, on one line each, without list numbers and lines without words.

    One of more than `LONGEST_SENTENCE` characters is divided between two words.
    """
    found: list[str] = []
    for block in _BREAK.split(text):
        line = " ".join(block.split())
        start = 0
        for stop in _END.finditer(line):
            if _ends(line, start, stop):
                _append(line[start : stop.end()], found)
                start = stop.end()
        _append(line[start:], found)
    return found


def _append(piece: str, found: list[str]) -> None:
    piece = piece.strip()
    if number := _NUMBER.match(piece):
        piece = piece[number.end() :]
    start = 0
    while start < len(piece):
        end = start + LONGEST_SENTENCE
        if end < len(piece):
            end = piece.rfind(" ", start, end) + 1 or end
        if _WORD.search(piece, start, end):
            found.append(piece[start:end].rstrip())
        start = end


def _ends(line: str, start: int, stop: re.Match[str]) -> bool:
    """Whether the punctuation at `stop` ends the sentence that begins at `start`."""
    if "." not in stop.group() or stop.end() == len(line):
        # A lone question mark precedes the suspected finding: "opacity ? pneumonia".
        return "." in stop.group() or stop.start() == 0 or line[stop.start() - 1] != " "
    before = line[max(start, stop.start() - _LONGEST_WORD) : stop.start()].rstrip()
    word = before[before.rfind(" ") + 1 :].strip("(\"'").lower()
    following = line[stop.end() : stop.end() + 2].strip()
    if word in _ABBREVIATIONS:
        return False
    if word in _UNITS and not following[:1].isupper():
        return False
    if word == "no" and following[:1].isdigit():  # "No. 3"
        return False
    if word[:1].isdigit() and _LIST_NUMBER.match(before.lstrip()):
        return False
    if len(word) == 1 and word.isalpha():  # an initial: "Dr. J. Smith", but not "hepatitis C."
        title = before[: before.rfind(" ")].rstrip(". ") if " " in before else ""
        return title[title.rfind(" ") + 1 :].lower() not in _ABBREVIATIONS
    return True
