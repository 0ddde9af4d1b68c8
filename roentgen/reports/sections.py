"""Section parser for plain-text radiology reports, as MIMIC-CXR has them.

A title begins a line and ends with a colon: "FINDINGS:", "FINAL IMPRESSION:", "PA AND LATERAL CHEST
RADIOGRAPHS:". Spellings and their counts over MIMIC-CXR are those of its authors' section parser
(Johnson et al., github.com/MIT-LCP/mimic-cxr, txt/section_parser.py).
"""

import difflib
import re
from functools import lru_cache
from typing import Literal

from roentgen.record.radiograph import Report
from roentgen.reports.cleaning import clean_section

# "other" is a section that is not read: technique, recommendations, notification, a wet read.
Section = Literal["findings", "impression", "indication", "history", "comparison", "other"]

_TITLE = re.compile(
    # The start of a line in capitals up to a colon; known titles in any case, or alone on a line.
    r"^[ \t]*(?P<capitals>[A-Z][A-Z0-9 ()/,&.#'_-]{1,70}?)[ \t]*:(?=\s|\Z|[A-Z_])"
    r"|^[ \t]*(?P<known>(?i:(?:(?:clinical|final|preliminary|patient)[ \t]+)?"
    r"(?:findings?|impressions?|conclusions?|indications?|history|comparisons?|technique"
    r"|recommendations?|(?:type of )?examination|reason for exam(?:ination)?|addendum|notification)"
    r"(?:[ \t]*(?:/|and)[ \t]*impressions?)?))[ \t]*(?::|$)"
    # Within a line only titles that cannot be anything else.
    r"|(?<=[.\s])(?P<inline>FINDINGS AND IMPRESSION|IMPRESSION|FINDINGS|CONCLUSION|COMPARISON"
    r"|INDICATION):(?=\s|\Z)"
    r"|^[ \t]*(?P<final>FINAL[ \t]+(?:REPORT|ADDENDUM)|WET[ \t]+READ\b[^\n]*+)[ \t]*+:?[ \t]*+$",
    re.MULTILINE,
)
_FINAL = re.compile(r"^[ \t]*FINAL[ \t]+REPORT[ \t]*+:?[ \t]*+$", re.MULTILINE)
_PARAGRAPHS = re.compile(r"\n[ \t]*\n\s*")
_RULE = re.compile(r"^[ \t]*[_=*-]{10,}[ \t]*$", re.MULTILINE)  # a line across the page

# The first word found in a title decides; a view's name is the title of its findings.
_WORDS: tuple[tuple[str, Section], ...] = (
    ("recommendation", "other"),
    ("wet read", "other"),
    ("addendum", "other"),
    ("notification", "other"),
    ("technique", "other"),
    ("impression", "impression"),
    ("conclusion", "impression"),
    ("findings", "findings"),
    ("comparison", "comparison"),
    ("reference exam", "comparison"),
    ("indication", "indication"),
    ("reason for", "indication"),
    ("clinical question", "indication"),
    ("history", "history"),
    ("clinical information", "history"),
    ("examination", "other"),
)
_VIEWS = re.compile(
    r"\b(?:chest|portable|pa|ap|lateral|frontal|views?|upright|supine|radiographs?|bone window)\b"
)
_SINGLE: dict[str, Section] = {
    "impression": "impression",
    "conclusion": "impression",
    "findings": "findings",
    "finding": "findings",
    "indication": "indication",
    "comparison": "comparison",
    "history": "history",
}
# Words that begin a line of findings in structured reports; they are no section titles.
_BODY = re.compile(
    r"\b(?:lungs?|pleura\w*|hearts?|cardi\w*|mediastin\w*|bon(?:es|y)|osseous|soft tissues?"
    r"|(?:support )?devices?|tubes?|lines?|catheters?|airways?|hila\w*|diaphragm|abdomen|vascular"
    r"|vasculature|ribs|spine|other)\b"
)


def parse_report(text: str) -> Report:
    """The sections of a report, each cleaned; of a repeated title, the last one with text.

    Text before the last "FINAL REPORT" (a wet read, an addendum) is used only if none follows.
    History replaces a missing indication; "findings and impression" is an impression. Without
    findings and impression, the paragraphs after the first one below the last title are the last
    paragraph.
    """
    text = _RULE.sub("\n", text.replace("\r\n", "\n").replace("\r", "\n"))
    ends = [match.end() for match in _FINAL.finditer(text)]
    report = _parse(text[ends[-1] :]) if ends else Report()
    return _parse(text) if report == Report() else report


def _parse(text: str) -> Report:
    pieces = [(section, piece) for section, piece in _pieces(text) if piece.strip()]
    last = None
    if pieces and not {"findings", "impression"} & {section for section, _ in pieces}:
        titled = pieces[-1] != ("other", text)
        first, last = _split_paragraphs(pieces[-1][1], titled=titled)
        pieces[-1] = (pieces[-1][0], first)
    found = {section: body for section, piece in pieces if (body := clean_section(piece))}
    return Report(
        findings=found.get("findings"),
        impression=found.get("impression"),
        indication=found.get("indication") or found.get("history"),
        comparison=found.get("comparison"),
        last_paragraph=last,
    )


def _pieces(text: str) -> list[tuple[Section, str]]:
    """The text below each title; text before the first one is "other"."""
    pieces: list[tuple[Section, str]] = []
    section: Section = "other"
    start = 0
    for title in _TITLE.finditer(text):
        words = title[title.lastgroup or 0].lower()
        following = "other" if title.lastgroup == "final" else _section_of(words)
        if following is None:
            continue
        pieces.append((section, text[start : title.start()]))
        section, start = following, title.end()
    pieces.append((section, text[start:]))
    return pieces


@lru_cache(maxsize=4096)
def _section_of(title: str) -> Section | None:
    """The section named by a title in lower case; None if it is no title."""
    title = " ".join(title.split())
    for word, section in _WORDS:
        if word in title:
            return section
    if title.isalpha() and (near := difflib.get_close_matches(title, _SINGLE, 1, 0.85)):
        return _SINGLE[near[0]]  # "imoression", "findngs", "comparision"
    if title == "pfi":
        return "impression"
    if _VIEWS.search(title):
        return "findings"
    return None if _BODY.search(title) else "other"


def _split_paragraphs(text: str, *, titled: bool) -> tuple[str, str | None]:
    """The first paragraph below a title, and the cleaned text of those after it.

    A text without titles has no first paragraph; a heading in capitals is no paragraph.
    """
    paragraphs = [part for part in _PARAGRAPHS.split(text.strip()) if part.strip()]
    first = paragraphs.pop(0) if titled else ""
    paragraphs = [part for part in paragraphs if part != part.upper() or part.endswith(".")]
    return first, clean_section("\n\n".join(paragraphs)) or None
