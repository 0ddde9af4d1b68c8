"""Removal of de-identification blanks ("___" in MIMIC-CXR, "XXXX" in Open-i) from a sentence.

With a blank go the words that only introduce it ("dated ___", "measuring ___ mm"), and the sentence
if it has lost its subject or says nothing else.
"""

import re

BLANK = r"(?:[-'/]?(?:_{2,}|(?<![A-Za-z])X{3,}(?![a-z]))[-'/]?)"
# Longer runs mean the same, and the time of the patterns below grows with their square.
_LONG_BLANK = re.compile(r"([_X])\1{4,}")
_RAY = re.compile(r"\bx-XXXX", re.I)
# An age that was de-identified: "___ year old", "XXXX-year-old".
_AGE = rf"(?:\ban? )?{BLANK}[- ]?(?:years?|yrs?|y\.?/?o\.?)\b[- ]?(?:old\b[- ]?)?"
_COMPARED = (
    rf"\b(?:as |when )?(?:compared|in comparison) (?:to|with) (?:the )?{BLANK}(?:[ ,/]*{BLANK})*,?"
)
_BETWEEN = rf"\bbetween (?:the )?{BLANK} and (?:the )?{BLANK},?"
_LED = (
    r"(?:(?:\b(?:dated|performed|obtained|taken|done) )?\b(?:on|from|since|dated|at|until|as of|by)"
    r"|(?<=study )of|(?<=exam )of|(?<=film )of|(?<=image )of|(?<=images )of|(?<=radiograph )of"
    rf"|(?<=radiographs )of|(?<=examination )of) {BLANK}(?:[ ,/-]*(?:at |and |on )?{BLANK})*"
    r"(?: (?:hours|hrs|a\.?m\b\.?|p\.?m\b\.?))?"
)
_SIZE = (
    r"(?:,? ?\b(?:which )?(?:measuring|measures?|sized|of)\b)?(?: ?\b(?:approximately|about|up to"
    rf"|at least|roughly|nearly|only|over))? ?{BLANK}(?: ?(?:x|by|to|-|and) ?{BLANK})*"
    r"[ -]?(?:mm|cm|millimeters?|centimeters?)\b(?: in (?:size|diameter|length|thickness))?"
)
# What is removed, in this order, with parts of which each needs one: looking for them is quick.
_REMOVED: tuple[tuple[tuple[str, ...], re.Pattern[str]], ...] = tuple(
    (hints, re.compile(pattern, re.I))
    for hints, pattern in (
        (("y",), _AGE),
        (("mm", "cm", "meter"), _SIZE),
        (("compar",), _COMPARED),
        (("between",), _BETWEEN),
        (("on ", "from ", "since ", "dated ", "at ", "until ", "of ", "by "), _LED),
        (("",), rf"{BLANK}(?:[ ,/]*{BLANK})*"),
    )
)
# Words that a removed blank leaves without what they joined: "No ___ or effusion".
_REJOINED: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\b(?:is|are|was|were) and (?=(?:could|may|can|should|would|is|are|has)\b)"), ""),
    (re.compile(r"\b(no|without|is|are|was|were|of|with|for|the) (?:and|or) ", re.I), r"\1 "),
    (re.compile(r"^(?:and|or) ", re.I), ""),
    (re.compile(r"\b([Aa])n (?=[bcdfgjklmnpqrstvwxyz])"), r"\1 "),
    (re.compile(r"\b([Aa]) (?=[aeio][a-z])(?!(?:is|are|in|at|and|of|on|or|as)\b)"), r"\1n "),
)
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
    r"|unchanged|and|midline|seen|noted|present|enlarged|larger|smaller|dilated|tortuous|elevated"
    r"|blunted|prominent|increased|decreased|hyperinflated|hyperexpanded|low|small|large|mildly"
    r"|moderately|severely|slightly|borderline|not|in|size|place|position|expanded|inflated"
    r"|calcified|flattened|widened|ectatic|well|aerated|sharp|preserved|improved|worse|again|new"
    r"|there|no|change|the|of)\b\W*)*",
    re.I,
)
# A sentence of these words alone says nothing: "These.", "Comparison is made.", "The heart."
_EMPTY = re.compile(
    r"(?:(?:the|these|this|that|there|it|no|an?|is|are|was|were|comparisons?|compared|made|patient"
    r"|study|exam|examination|status|post|hearts?|lungs?|in|between|and|or|of|has|have|with|to"
    r"|prior|previous|also|again|both|any|by|dr|drs|x-ray|for|at)\b\W*)*",
    re.I,
)


def shortened(text: str) -> str:
    """A text whose blanks are no longer than four characters."""
    return _LONG_BLANK.sub(r"\1\1\1\1", text) if "_____" in text or "XXXXX" in text else text


def without_blanks(sentence: str) -> str:
    """A sentence, on one line, without blanks; "" if nothing is left of what it says."""
    if "__" not in sentence and "XXX" not in sentence:
        return sentence
    sentence = _RAY.sub("x-ray", sentence)
    lower = sentence.lower()
    for hints, pattern in _REMOVED:
        if any(hint in lower for hint in hints):
            sentence = pattern.sub(" ", sentence)
    rest = " ".join(_without_loose_end(" ".join(sentence.split())).split())
    for pattern, replacement in _REJOINED:
        rest = pattern.sub(replacement, rest)
    subjectless = _LOOSE_START.sub("", rest, count=1)
    if _EMPTY.fullmatch(rest) or (subjectless != rest and _NO_SUBJECT.fullmatch(subjectless)):
        return ""
    return subjectless


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
