"""Rule-based report labeler: statements and findings of a report, in English, Spanish or Chinese.

Findings and impression are split into sentences; in each, phrases are found (`lexicon`) and read
(`reader`). `python -m eval.labeler configs/eval/labeler.yaml` measures it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

from roentgen.labelers.rules.extents import change_of, extents_of, size_of
from roentgen.labelers.rules.lexicon import Phrase, lexicon
from roentgen.labelers.rules.mentions import Mention, is_explained
from roentgen.labelers.rules.reader import read_sentence
from roentgen.labelers.rules.tokens import Language, token_spans, words_of
from roentgen.record.finding import Finding
from roentgen.record.radiograph import Report
from roentgen.record.statement import Evidence, Extent, ReadSection, Span, SpanRole, Statement
from roentgen.reports.sentences import sentence_spans
from roentgen.statements.labels import findings_of, with_no_finding

VERSION = "rules 2"
_ROLES: dict[str, SpanRole] = {
    "side": "side",
    "severity": "severity",
    "place": "place",
    "size": "size",
    "change": "change",
}


def label_report(report: Report, language: Language = "en") -> tuple[Finding, ...]:
    """The findings of a report's findings and impression sections, in the order of the 14 names.

    A report without these two sections is read from its last paragraph. One Finding for each name,
    or several of one state where their details or their sides differ. "No Finding" is present where
    the chest or the lungs are normal or several findings are denied, and no finding other than
    Support Devices is present or uncertain.
    """
    readings = [*_readings(report, language)]
    statements = [statement for _, _, found, _ in readings for statement in found]
    return _labels(statements, normal=any(normal for _, _, _, normal in readings))


def statements_of(report: Report, language: Language = "en") -> tuple[Statement, ...]:
    """What a report's findings and impression sections state, in their order.

    A report without these two sections is read from its last paragraph. Evidence is given in
    characters of the section.
    """
    return read_report(report, language)[0]


def read_report(
    report: Report, language: Language = "en"
) -> tuple[tuple[Statement, ...], tuple[Finding, ...]]:
    """What `statements_of` and `label_report` give of a report, which is read once."""
    statements: list[Statement] = []
    is_normal = False
    for section, start, found, normal in _readings(report, language):
        statements += [_moved(statement, section, start) for statement in found]
        is_normal |= normal
    return tuple(statements), _labels(statements, normal=is_normal)


def _labels(statements: Sequence[Statement], *, normal: bool) -> tuple[Finding, ...]:
    return with_no_finding(findings_of(statements), normal=normal)


def _readings(
    report: Report, language: Language
) -> Iterator[tuple[ReadSection, int, tuple[Statement, ...], bool]]:
    """Section, start in it, statements, and whether chest or lungs are normal, of each sentence."""
    before: Sequence[Statement] = ()
    for section, start, sentence in _sentences(report):
        found, normal, refers = _read(sentence, language)
        if refers:
            found = _located(found, before)
        before = found[-1:] or before
        yield section, start, found, normal


def _located(statements: Sequence[Statement], before: Sequence[Statement]) -> tuple[Statement, ...]:
    """Statements of "this may represent atelectasis", in the place of the finding before."""
    if not before or before[0].state == "absent" or not is_explained(before[0].finding):
        return tuple(statements)
    return tuple(
        replace(one, extents=tuple(replace(e, severity=None) for e in before[0].extents))
        if one.extents == (Extent(),)
        else one
        for one in statements
    )


def _sentences(report: Report) -> Iterator[tuple[ReadSection, int, str]]:
    """Section, start in it and text of each sentence that is read."""
    sections: tuple[ReadSection, ...] = ("findings", "impression")
    if not (report.findings or report.impression):
        sections = ("last_paragraph",)
    for section in sections:
        text = getattr(report, section) or ""
        for start, end in sentence_spans(text):
            yield section, start, text[start:end]


def _moved(statement: Statement, section: ReadSection, start: int) -> Statement:
    """A statement of a sentence as one of the section in which it begins at `start`."""
    evidence = statement.evidence
    assert evidence is not None
    words = tuple(Span(w.role, w.start + start, w.end + start) for w in evidence.words)
    moved = Evidence(section, evidence.start + start, evidence.end + start, words)
    return replace(statement, evidence=moved)


@lru_cache(maxsize=1 << 15)
def _read(sentence: str, language: Language) -> tuple[tuple[Statement, ...], bool, bool]:
    """The statements of a sentence, whether lungs or chest are normal, whether it refers back.

    They are kept, as reports repeat many sentences word for word.
    """
    words = words_of(sentence, language)
    while words and words[-1] in ".!":
        words.pop()
    reading = read_sentence(lexicon(language), words)
    spans = token_spans(sentence) if reading.mentions else []
    source = f"{VERSION} ({language})"
    return (
        tuple(_statement(m, spans, source) for m in reading.mentions),
        reading.normal,
        reading.refers,
    )


def _statement(mention: Mention, words: list[tuple[int, int]], source: str) -> Statement:
    modifiers = [*mention.before, *mention.after]
    spans = [_span("finding", mention.head, words)]
    if mention.cue:
        spans.append(_span("cue", mention.cue, words))
    if mention.explains:
        spans.append(_span("explained", mention.explains.head, words))
    where = modifiers
    if not any(p.kind in ("side", "place") for p in modifiers):  # that of the clause
        where = [*modifiers, *(p for p in mention.around if p.kind in ("side", "place"))]
    spans += [_span(_ROLES[p.kind], p, words) for p in where if p.kind in _ROLES]
    spans.sort(key=lambda span: span.start)
    return Statement(
        finding=mention.node,
        state="stable" if mention.stable else mention.state,
        probability=mention.probability,
        extents=extents_of(mention.before, mention.after, mention.around),
        size_mm=None if mention.is_a("Support Devices") else size_of(modifiers),
        change=change_of(modifiers),
        evidence=Evidence("findings", spans[0].start, max(s.end for s in spans), tuple(spans)),
        source=source,
    )


def _span(role: SpanRole, phrase: Phrase, words: list[tuple[int, int]]) -> Span:
    return Span(role, words[phrase.start][0], words[phrase.end - 1][1])
