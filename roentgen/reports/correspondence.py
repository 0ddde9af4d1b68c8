"""Correspondence in reports: with whom a finding was discussed, by what means, and who signed.

It is no part of the image. What it says about a finding stays: "Dr. ___ was paged about the left
pneumothorax." becomes "The left pneumothorax."
"""

import re

from roentgen.reports.blanks import BLANK

_SENT = (
    r"(?:discussed|communicated|conveyed|relayed|reported|telephoned|phoned|paged|e-?mailed|called"
    r"|notified|informed|contacted|posted|entered|telecommunicated|transmitted|delivered|flagged)"
)
_PERSON = (
    r"(?:drs?\b|doctor|physician|clinician|surgeon|intern|nurse|resident|house ?officer|provider"
    r"|team|fellow|staff|department|clinic\b|service|unit|ward|(?:er|ed|icu|rn|md|np)\b)"
)
_WAS = r"(?:was|were|has been|have been)"
_GENERIC = (
    r"(?:(?:the|these|this|all|above|critical|preliminary|final|urgent|new|positive|pertinent"
    r"|important|initial|significant|wet|read) )*"
    r"(?:findings?|results?|report|case|information|study|exam|impression|observations?|it|this"
    r"|these|above|telephone|recommendations?|discrepanc\w+)\b"
)
_TITLE = r"(?:[A-Z ]+: )?"
_TO = r"(?:with|to|by|via|in|on|at|into)"
# "These findings were discussed with ...", "Dr. ___ was paged ...", "___ was notified"
_MESSAGE = (
    rf"^{_TITLE}{_GENERIC}[^.]{{0,60}}?\b{_WAS} (?:\w+ ){{0,3}}?{_SENT}(?= {_TO}\b|\W*$)"
    rf"|^(?:{_PERSON}|{BLANK})[^:]{{0,80}}?(?:\b{_WAS} (?:\w+ )?{_SENT}|\bis aware)"
)
_ABOUT_FINDING = re.compile(_MESSAGE, re.I)
_CORRESPONDENCE = re.compile(
    rf"{_MESSAGE}|^{_TITLE}{_GENERIC}[^.]{{0,60}}?\b{_WAS} (?:\w+ ){{0,3}}?{_SENT}"
    rf"|^{BLANK}[^:.]{{0,40}} (?:notified|paged|by telephone|telephone)"
    rf"|^{_TITLE}(?:\w+ )?{_SENT} (?:with|to|by|via)\b.*(?:{_PERSON}|phone|{BLANK})"
    rf"|^{_TITLE}(?:findings?|results?) {_SENT}\b"
    r"|^(?:telephone|phone|verbal) (?:notification|communication|call)\b"
    r"|^(?:an? |the )?(?:preliminary|wet) (?:read|report)\b"
    r"|^(?:dictated|transcribed|(?:electronically )?(?:signed|reviewed|interpreted)) "
    r"(?:by|and|via)\b"
    r"|^(?:as the attending|i,? (?:have |personally |the attending|discussed|called|notified|paged"
    r"|communicated))"
    r"|^(?:end of (?:report|impression)|wet read version|thank you|thanks\b)"
    r"|\b(?:acknowledged|acknowledgement of) receipt\b",
    re.I,
)
_CLAUSE = re.compile(
    rf",?(?: (?:which|and|this|as|findings?|results?))? {_WAS} "
    rf"(?:\w+ ){{0,2}}?{_SENT} {_TO}\b[^.]*(?:{_PERSON}|phone|page|{BLANK}).*",
    re.I,
)
# What follows a message about a finding.
_ABOUT = re.compile(
    r"(?:[:;]|,? (?:and|but)(?= (?:there|an?|the)\b)|\b(?:that|regarding|about|concerning"
    r"|including))\s+(?P<about>\w.*)",
    re.I,
)
_OF = re.compile(r" (?:of|for) (?P<about>\w.*)", re.I)
_BY_ME = re.compile(
    rf"^i (?:\w+ ){{0,2}}{_SENT} (?P<about>.+?) (?:with|to) (?:the )?(?:{_PERSON}|{BLANK})", re.I
)
_INCLUDING = re.compile(
    rf"^{_GENERIC},? (?:including|of|namely|regarding) (?P<about>.+?),? {_WAS} "
    rf"(?:\w+ ){{0,2}}?{_SENT}",
    re.I,
)
_END = re.compile(
    r",? (?:(?:by|via|over(?: the)?) (?:tele)?phone|by pager|by e-?mail"
    rf"|{_SENT} (?:with|to) (?:the )?(?:{_PERSON}|{BLANK})|(?:and|who) (?:\w+ )?acknowledged\b).*",
    re.I,
)
# Words of what an image shows; without one a message has no finding.
_FINDING = re.compile(
    r"pneumo(?:n|th|me|pe)|effusion|consolidat|opaci|atelecta|edema|nodul|\bmass|fractur|cardiomeg"
    r"|enlarg|\btubes?\b|catheter|\blines?\b|\btip\b|picc|lesion|infiltrat|collaps|hemo?rrhag"
    r"|h(?:a)?emothora|emphysem|fibros|malposition|infecti|aspirat|aneurysm|dissecti|free air"
    r"|perforat|hernia|congesti|failure|cavit|tubercul|metasta|malignan|cancer|emboli|dislocat"
    r"|shift|thicken|calcif|granulom|pacemaker|\bwires?\b|foreign|retained|\bptx\b|\bpna\b"
    r"|obstruct|abscess|empyema|densit|bronchi",
    re.I,
)
_STEMS = (
    *("discuss", "communicat", "convey", "relay", "report", "phone", "page", "mail", "call"),
    *("notif", "inform", "contact", "posted", "enter", "transmit", "deliver", "flag", "aware"),
    *("dictat", "transcrib", "signed", "review", "interpreted", "attending", "thank", "end of"),
    *("wet read", "receipt", "preliminary"),
)


def may_correspond(text: str) -> bool:
    """Whether a text has a word of correspondence: most have none."""
    lower = text.lower()
    return lower.startswith("i ") or any(stem in lower for stem in _STEMS)


def without_correspondence(sentence: str) -> str:
    """What a sentence says besides correspondence; "" if nothing."""
    end = "." if sentence.endswith(".") else ""
    if not _FINDING.search(sentence):
        return "" if _CORRESPONDENCE.search(sentence) else _CLAUSE.sub(end, sentence)
    about = _about(sentence)
    if about is None:
        return "" if _ABOUT_FINDING.search(sentence) else sentence
    about = _END.sub("", about).rstrip(" ,;.")
    return about[:1].upper() + about[1:] + end


def _about(sentence: str) -> str | None:
    """The part of a message that names the finding."""
    for pattern in (_INCLUDING, _BY_ME):
        if (match := pattern.search(sentence)) and _FINDING.search(match["about"]):
            return match["about"]
    clause = _CLAUSE.search(sentence)
    if clause and _FINDING.search(sentence, 0, clause.start()):
        return sentence[: clause.start()]
    message = _ABOUT_FINDING.search(sentence) or _CORRESPONDENCE.search(sentence)
    if message:
        end = message.end()
        about = _OF.match(sentence, end) or _ABOUT.search(sentence, end)
        if about and _FINDING.search(about["about"]):
            return about["about"]
    tail = _END.search(sentence)
    if tail and _FINDING.search(sentence, 0, tail.start()):
        return sentence
    return None
