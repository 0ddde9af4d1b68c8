"""Cleaning of a report section: removes formatting, de-identification blanks and correspondence.

Wrapped lines are joined. List numbers and de-identification blanks ("___" in MIMIC-CXR, "XXXX" in
Open-i) are removed, and so is the correspondence that is dictated with a report: with whom it was
discussed, at what time, and who signed it.
"""

import re

from roentgen.reports.lines import WIDE
from roentgen.reports.sentences import sentence_spans

_BLANK = r"(?:[-'/]?(?:_{2,}|(?<![A-Za-z])X{3,}(?![a-z]))[-'/]?)"
# Longer runs mean the same, and the time of the patterns below grows with their square.
_LONG_BLANK = re.compile(r"([_X])\1{4,}")
_LONG_SPACE = re.compile(r"\s{5,}")
_HEADED_NUMBER = re.compile(r"^((?:[A-Za-z]+ ){0,1}[A-Za-z]+)(:?) \(?1[.)] (?=[A-Z_])")
_RAY = re.compile(r"\bx-XXXX", re.I)
# An age that was de-identified: "___ year old", "XXXX-year-old".
_AGE = re.compile(
    rf"(?:\ban? )?{_BLANK}[- ]?(?:years?|yrs?|y\.?/?o\.?)\b[- ]?(?:old\b[- ]?)?", re.I
)
# A blank with the words that only introduce it.
_LED_BLANK = re.compile(
    rf"(?:(?:\b(?:dated|performed|obtained|taken|done) )?\b(?:on|from|since|dated|at|until|as of"
    rf"|by)"
    rf"|(?<=study )of|(?<=exam )of|(?<=film )of|(?<=image )of|(?<=images )of|(?<=radiograph )of"
    rf"|(?<=radiographs )of|(?<=examination )of) {_BLANK}(?:[ ,/-]*(?:at |and |on )?{_BLANK})*"
    r"(?: (?:hours|hrs|a\.?m\b\.?|p\.?m\b\.?))?",
    re.I,
)
_COMPARED_BLANK = re.compile(
    rf"\b(?:as |when )?(?:compared|in comparison) (?:to"
    rf"|with) (?:the )?{_BLANK}(?:[ ,/]*{_BLANK})*,?",
    re.I,
)
_BLANKS = re.compile(rf"{_BLANK}(?:[ ,/]*{_BLANK})*")
_TIME = re.compile(
    r"(?:,? ?\b(?:at|around) )?(?:approximately )?\b(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d)?"
    r"(?: ?(?:[ap]\.? ?m\b\.?|hours|hrs|h\b))?|,? ?\bat (?:approximately )?\d{1,2} ?[ap]\.?m\b\.?",
    re.I,
)
_SENT = (
    r"(?:discussed|communicated|conveyed|relayed|reported|telephoned|phoned|paged|e-?mailed|called"
    r"|notified|informed|contacted|posted|entered|telecommunicated|transmitted|delivered|flagged)"
)
_PERSON = r"(?:drs?\b|doctor|physician|nurse|resident|house ?officer|team|fellow)"
_CORRESPONDENCE = re.compile(
    # "These findings were discussed with ...", "The above results were telephoned to ..."
    r"^(?:(?:the|these|this|all|above|critical|preliminary|final|urgent|new|positive|pertinent"
    r"|important|initial|significant|wet|read) )*"
    r"(?:findings?|results?|report|case|information|study|exam|impression|observations?|it|this"
    r"|above|telephone|recommendations?|discrepanc\w+)\b[^.]{0,60}?\b(?:was|were|has been"
    r"|have been)"
    rf" (?:\w+ ){{0,3}}?{_SENT}"
    # "Dr. ___ was paged ...", "___ was notified"
    rf"|^(?:{_PERSON}|{_BLANK})[^:]{{0,80}}?(?:\b(?:was|were|has been) (?:\w+ )?{_SENT}|\bis aware)"
    rf"|^{_BLANK}[^:.]{{0,40}} (?:notified|paged|by telephone|telephone)"
    rf"|^(?:\w+ )?{_SENT} (?:with|to|by|via)\b.*(?:{_PERSON}|phone|{_BLANK})"
    r"|^(?:findings?|results?) (?:discussed|communicated|called|paged|telephoned|posted|entered)\b"
    r"|^(?:dictated|transcribed|(?:electronically )?(?:signed|reviewed|interpreted)) "
    r"(?:by|and|via)\b"
    r"|^(?:as the attending|i,? (?:have |personally |the attending|discussed|called|notified|paged"
    r"|communicated))"
    r"|^(?:end of (?:report|impression)|wet read version|thank you|thanks\b)"
    r"|\b(?:acknowledged|acknowledgement of) receipt\b",
    re.I,
)
_COMMUNICATION_CLAUSE = re.compile(
    rf",?(?: (?:which|and|this|as|findings?|results?))? (?:was|were|has been|have been) "
    rf"(?:\w+ ){{0,2}}?{_SENT} (?:with|to|by|via|in|on)\b[^.]*(?:{_PERSON}|phone|page|{_BLANK}).*",
    re.I,
)
_TIDY: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\(\s*[.,;:/]*\s*\)|\[\s*\]|<\s*>"), ""),
    (re.compile(r"\s+"), " "),
    (re.compile(r" +(?=[.,;:)])"), ""),
    (re.compile(r"(?<=[(]) +"), ""),
    (re.compile(r"[,;:](?=[,;:.])"), ""),
    (re.compile(r"(?<!\.)\.{2,}(?!\.)|\.{4,}"), "."),
    (re.compile(r"^[\s,;:./)-]+(?=\w)"), ""),
    (re.compile(r"(?<=\w)\s+(?:and|or)(?=[.]$)"), ""),
)
_WORD = re.compile(r"[^\W\d_]")
_NO_STOP = re.compile(r"[^\s.:;,!?。：；，！？]$")
# Words at the end or the start of a sentence that a removed blank leaves incomplete.
_LOOSE_END = re.compile(
    r"[ ,]+(?:(?:consistent|compatible|in keeping) with|suggestive of|representing|status post"
    r"|(?:due|secondary|compared|similar) to|of|in|at|on|with|to|by|for|from|since|and|or|the|an?"
    r"|this|that|which|as|per|is|are|was|were|appears?|has|have|be|been)$",
    re.I,
)
_LONGEST_END = 40  # characters
# "XXXX are normal" has lost its subject; "XXXX are coarse lung markings" still states a finding.
_LOOSE_START = re.compile(
    r"^(?:(?:the|both|an?|and|or|of) )*(?:is|are|was|were|appears?|remains?)\b(?: also)?\s*", re.I
)
_NO_SUBJECT = re.compile(
    r"(?:(?:all|also|grossly|otherwise|appear|within|normal|limits|intact|unremarkable|stable|clear"
    r"|unchanged|and|midline|seen|noted|present)\b\W*)*",
    re.I,
)


def clean_section(text: str) -> str:
    """A section on one line, without blanks, list numbers, correspondence and times of day.

    Every sentence about the patient keeps its words and their order; with a blank only the words
    that introduce it ("dated ___") are removed. "" if nothing is left.
    """
    text = _LONG_BLANK.sub(r"\1\1\1\1", text).replace("//", ";")
    spans = sentence_spans(text)
    cleaned_sentences = []
    for number, (start, end) in enumerate(spans, 1):
        sentence = " ".join(text[start:end].split())
        gap = text[end : spans[number][0]] if number < len(spans) else ""
        if (gap.strip() or "\n" in gap) and _NO_STOP.search(sentence):
            sentence += "。" if sentence[-1] >= WIDE else "."
        cleaned = _clean_sentence(_HEADED_NUMBER.sub(r"\1. ", sentence))
        if _WORD.search(cleaned):
            cleaned_sentences.append(cleaned)
    return " ".join(cleaned_sentences)


def _clean_sentence(sentence: str) -> str:
    if _CORRESPONDENCE.search(sentence):
        return ""
    end = "." if sentence.endswith(".") else ""
    sentence = _COMMUNICATION_CLAUSE.sub(end, sentence)
    if "__" in sentence or "XXX" in sentence:
        sentence = _RAY.sub("x-ray", sentence)
        for blank in (_AGE, _COMPARED_BLANK, _LED_BLANK, _BLANKS):
            sentence = _LONG_SPACE.sub("    ", blank.sub(" ", sentence))
        sentence = _without_loose_end(sentence)
        rest = _LOOSE_START.sub("", sentence.strip(), count=1)
        if rest != sentence.strip() and _NO_SUBJECT.fullmatch(rest):
            return ""
        sentence = rest
    sentence = _TIME.sub("", sentence)
    for pattern, tidy in _TIDY:
        sentence = pattern.sub(tidy, sentence)
    sentence = sentence.strip()
    if end and sentence and sentence[-1] not in ".!?:":
        sentence += end
    return sentence[:1].upper() + sentence[1:]


def _without_loose_end(sentence: str) -> str:
    """The sentence without the words that introduced a blank at its end, one after the other."""
    while True:
        end = len(sentence)
        while end and not (sentence[end - 1].isalnum() or sentence[end - 1] == "_"):
            end -= 1
        loose = _LOOSE_END.search(sentence, max(0, end - _LONGEST_END), end)
        if loose is None:
            return sentence
        sentence = sentence[: loose.start()] + sentence[end:]
