"""Section parser for plain-text radiology reports, of the templates of many houses.

A title ends with a colon or has a line of its own: "FINDINGS:", "**Impression:**", "conclusion".
Those that `titles` knows begin a section anywhere. Others, in capitals at the start of
a line, begin one outside of the findings and the impression; within them they belong to the text
("EFFUSION: None."), and so do organs and findings that no title precedes.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from roentgen.record.radiograph import Report
from roentgen.reports.cleaning import clean_section
from roentgen.reports.lines import WIDE, with_line_feeds
from roentgen.reports.sentences import sentences
from roentgen.reports.titles import (
    Section,
    Title,
    ends_title,
    names_body,
    title_in_capitals,
    title_of,
)

_COLON = re.compile(r"[:：]")
_WET_READ = re.compile(r"[ \t]*+WET[ \t]+READ(?:ING)?\b(?:[ \t]+VERSION\b)?[ \t]*+:?", re.I)
_ADDENDUM = re.compile(  # "ADDENDUM BY DR. ___:"
    r"[\W_]*+(?:ADDENDUM|Addendum(?=[^:\n]{0,40}:))\b(?:[^:\n]{0,60}:)?[*_]*"
)
_BRACKETS = re.compile(r"[【\[<]([^【】\[\]<>]{1,20})[】\]>][:：]?")
_DASHED = re.compile(r"[ \t]*+([A-Za-z]+(?: [A-Za-z]+){0,2})[ \t]*+[-–—][ \t]")
_NAME = re.compile(r"(?:[IVX]{1,4}[.)]\s+)?([^\W\d_].*)", re.DOTALL)
_STOP = re.compile(r"(?:\.(?!\d)|[!?;。；！？)])[\"')\]*_]*+\s*+|\t+|  +")
_WORD = re.compile(r"\S+")
_PARAGRAPHS = re.compile(r"\n[ \t]*\n\s*")
_RULE = re.compile(r"^[ \t]*[_=*-]{10,}[ \t]*$", re.MULTILINE)  # a line across the page
# A sentence that only names the image: "PA CHEST, ___", "Portable AP chest radiograph at 5:30 a.m."
_HEADING = re.compile(
    r"(?:(?:[amp]|am|pm|pa|ap|lateral|frontal|portable|single|one|two|three|views?|of|the|and|chest"
    r"|radiographs?|radiography|x|rays?|xray|cxr|upright|supine|erect|semi|semiupright|with|at"
    r"|hours|hrs|performed|obtained|on|dated|date|time|exam|examination|study|report|radiology"
    r"|final|preliminary|in|projections?|torax|tórax|radiografía|radiografia|rx|de|y|lat|to)\b"
    r"|[\W\d_])++",
    re.I,
)
_READ: tuple[Section, ...] = ("findings", "views", "impression", "diagnosis")
_WITHIN: tuple[Section, ...] = (*_READ, "addendum", "wet read")
_BLANKS = ("nan", "none", "null", "n/a")  # what programs write for a missing text
_LONGEST_TITLE = 80  # characters
_LONGEST_LINE = 40  # characters of a title on a line of its own
_MOST_WORDS = 4  # of a title within a line


class _Found(NamedTuple):
    """A title at [start, end) of a line."""

    start: int
    end: int
    title: Title


class _Piece(NamedTuple):
    """The text below a title; before the first one the name is ""."""

    section: Section
    name: str
    text: str


def parse_report(text: str) -> Report:
    """The sections of a report, each cleaned.

    Of a title that repeats, the last one with text counts; sections of different titles with one
    meaning ("FINDINGS", "DISCUSSION") are joined. Text before the last "FINAL REPORT" (a wet read)
    is used only if none follows, but an addendum is read wherever it is, as the impression's end.
    History replaces a missing indication; "findings and impression" is an impression.

    Untitled text is a report's paragraphs after the first one below a title, or those without any
    title above. Before an impression it is the findings if nothing else is; without findings and
    impression it is the last paragraph, or else the wet read is.
    """
    if text.strip().lower() in _BLANKS:
        return Report()
    pieces = list(_pieces(_RULE.sub("\n", with_line_feeds(text))))
    final = max((i for i, piece in enumerate(pieces) if piece.section == "final"), default=0)
    before, after = list(_with_long_addenda(pieces[:final])), pieces[final:]
    sections, last = _read(after)
    if final and not (last or {"findings", "impression"} & sections.keys()):
        sections, last = _read([*before, *after])
    addenda = [clean_section(p.text) for p in (*before, *after) if p.section == "addendum"]
    ends: list[str | None] = [addendum for addendum in addenda if addendum]
    impression = None if last else _joined([sections.get("impression"), *ends])
    return Report(
        findings=sections.get("findings"),
        impression=impression,
        indication=sections.get("indication") or sections.get("history"),
        comparison=sections.get("comparison"),
        last_paragraph=_joined([last, *ends]) if last else None,
    )


def _joined(texts: Iterable[str | None]) -> str | None:
    return " ".join(text for text in texts if text) or None


def _with_long_addenda(pieces: Iterable[_Piece]) -> Iterator[_Piece]:
    """Pieces with the findings and impression below the title of an addendum as part of it."""
    in_addendum = False
    for piece in pieces:
        in_addendum = piece.section == "addendum" or (in_addendum and piece.section in _READ)
        yield piece._replace(section="addendum") if in_addendum else piece


def _read(pieces: Sequence[_Piece]) -> tuple[dict[Section, str], str | None]:
    """The cleaned sections of pieces, and the last paragraph if they have no findings.

    An untitled text before the impression is the findings, if nothing else is.
    """
    sections = _cleaned(pieces)
    if "findings" in sections:
        return sections, None
    ends = [i for i, piece in enumerate(pieces) if piece.section in ("impression", "diagnosis")]
    end = ends[0] if "impression" in sections else len(pieces)
    for i, piece in reversed(list(enumerate(pieces[:end]))):
        if piece.section not in ("wet read", "addendum"):
            titled = piece.name != "" and piece.section != "final"
            first, last = _split_paragraphs(piece.text, titled=titled)
            if last:
                first_only = piece._replace(text=first)
                sections = _cleaned([*pieces[:i], first_only, *pieces[i + 1 :]])
                if "impression" in sections:
                    return sections | {"findings": last}, None
                return sections, last
    if "impression" in sections:
        return sections, None
    wet_reads = (clean_section(piece.text) for piece in pieces if piece.section == "wet read")
    return sections, _joined(wet_reads)


def _cleaned(pieces: Sequence[_Piece]) -> dict[Section, str]:
    """The text of each section, cleaned; a section without text is missing."""
    texts: dict[Section, dict[str, str]] = {}
    read = [i for i, piece in enumerate(pieces) if piece.section in ("findings", "impression")]
    for i, piece in enumerate(pieces):
        section = piece.section
        if section == "diagnosis":
            section = "history" if read and i < read[-1] else "impression"
        unread = section in ("other", "final", "wet read", "addendum")
        if not unread and piece.text and (body := clean_section(piece.text).rstrip(";,")):
            texts.setdefault(section, {})[piece.name] = body
    sections = {section: " ".join(named.values()) for section, named in texts.items()}
    views = sections.pop("views", "")
    if "findings" not in sections and not _HEADING.fullmatch(views) and views:
        sections["findings"] = views
    return sections


def _split_paragraphs(text: str, *, titled: bool) -> tuple[str, str]:
    """The first paragraph below a title, and the cleaned text of those after it.

    A text without title has no first paragraph. Sentences that only name the image are removed.
    """
    paragraphs = _PARAGRAPHS.split(text.strip())
    first = paragraphs.pop(0) if titled else ""
    cleaned = sentences(clean_section("\n\n".join(paragraphs))) if paragraphs else []
    return first, " ".join(sentence for sentence in cleaned if not _HEADING.fullmatch(sentence))


def _pieces(text: str) -> Iterator[_Piece]:
    """The text below each title, in order."""
    section: Section = "other"
    name, indent, start, line_start = "", "", 0, 0
    after_blank = True
    for line in text.split("\n"):
        is_blank = not line or line.isspace()
        for found in () if is_blank else _titles(line):
            following = _following(section, found.title, after_blank)
            if following is not None:
                yield _Piece(section, name, indent + text[start : line_start + found.start])
                section, name = following, found.title.name
                # The first line has its columns: whether the next is wrapped depends on them.
                columns = 0 if found.title.section == "body" else found.end
                indent = " " * min(columns, _LONGEST_TITLE)
                start = line_start + (found.start if found.title.section == "body" else found.end)
        after_blank = is_blank
        line_start += len(line) + 1
    yield _Piece(section, name, indent + text[start:])


def _following(section: Section, title: Title, after_blank: bool) -> Section | None:
    """The section that a title begins after a section; None if it is part of its text."""
    within = section in _WITHIN
    if title.section == "body":
        return None if within else "views"
    if not title.strong and title.section == "other" and within:
        return "other" if title.exact and after_blank else None
    if title.section == "views" and not title.exact and within:
        return "views" if section == "impression" and after_blank else None
    if title.section == "findings" and not title.exact and within:
        return None  # "LUNG FINDINGS:"
    return title.section


def _titles(line: str) -> Iterator[_Found]:
    """What may be titles in a line that is not blank, in order."""
    upper = line.upper()
    if "READ" in upper and (wet := _WET_READ.match(line)):
        yield _Found(0, wet.end(), Title("wet read", "wet read", exact=True, strong=True))
        return
    if "ADDENDUM" in upper and (addendum := _ADDENDUM.match(line)):
        yield _Found(0, addendum.end(), Title("addendum", "addendum", exact=True, strong=True))
        return
    found = list(_titles_with_colon(line)) if ":" in line or "：" in line else _lone_title(line)
    if "【" in line or "[" in line or "<" in line:
        for brackets in _BRACKETS.finditer(line):
            if title := _exact(brackets[1]):
                found.append(_Found(brackets.start(), brackets.end(), title))
        found.sort()
    yield from found


def _exact(name: str) -> Title | None:
    title = title_of(name)
    return title if title and title.exact else None


def _lone_title(line: str) -> list[_Found]:
    """A title on a line of its own, or before a dash: "Findings", "IMPRESSION - No edema"."""
    name = line.strip()
    if len(name) <= _LONGEST_LINE and name[-1] not in ".,;" and (title := _exact(name)):
        return [_Found(0, len(line), title)]
    dashed = _DASHED.match(line) if "- " in line or "–" in line or "—" in line else None
    if dashed and (title := _exact(dashed[1])) and title.strong:
        return [_Found(0, dashed.end(), title)]
    return []


def _titles_with_colon(line: str) -> Iterator[_Found]:
    begin = 0
    for colon in _COLON.finditer(line):
        start, end = max(begin, colon.start() - _LONGEST_TITLE), colon.end()
        head, behind = line[start : colon.start()], line[end : end + 1]
        is_first = begin == 0 and start == 0
        begin = end
        name = head.rstrip(" \t*_)]")
        is_time = name[-1:].isdigit() and (behind.isdigit() or behind == "_")  # "1:___"
        if not name[-1:].isalnum() or is_time or behind == "/":
            continue
        while len(name) < len(head) and line[end : end + 1] in ("*", "_"):  # "**Findings:**"
            end += 1
        found = _title_at_start(head, end) if is_first else None
        found = found or _title_at_end(head, start, end)
        if found:
            yield found


def _title_at_start(head: str, end: int) -> _Found | None:
    """The title that the start of a line up to a colon is."""
    first = _NAME.search(head)
    if first is None:
        return None
    name = first[1]
    if _STOP.search(name.rstrip(" \t*_)]")):
        return None
    title = _exact(name)
    if title is None and name.isupper():
        title = title_in_capitals(name)
    elif title is None and name[:1].isupper() and name.count(" ") < _MOST_WORDS:
        title = Title("body", "body") if names_body(name) else None
    return _Found(0, end, title) if title else None


def _title_at_end(head: str, start: int, end: int) -> _Found | None:
    """The title with which a text within a line ends: "No edema. Impression"."""
    starts = [word.start() for word in _WORD.finditer(head)][-_MOST_WORDS:]
    if not ends_title(head[starts[-1] :]):
        return None
    stop = max((m.end() for m in _STOP.finditer(head.rstrip(" \t*_)]"))), default=0)
    for begin in sorted({stop, *starts}):
        title = _exact(head[begin:]) if begin >= stop else None
        if title and title.strong and not title.name.startswith("the "):
            first = head[begin:].lstrip("*_([ ")[:1]
            if first.isupper() or first >= WIDE or (stop and begin == stop):
                return _Found(start + begin, end, title)
    return None
