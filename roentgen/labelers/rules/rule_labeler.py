"""Rule-based report labeler, in the tradition of NegBio and the CheXpert labeler.

Findings and impression are split into sentences; in each, phrases are found (`mentions`) and the
state, side, severity and place of findings are read (`negation`). Over a report, present outweighs
uncertain and uncertain outweighs absent. A finding that no sentence names gets no label.

`python -m eval.labeler configs/eval/labeler.yaml` measures it against Open-i's MeSH terms.
"""

from collections.abc import Sequence

from roentgen.labelers.rules.lexicon import find_phrases, words_of
from roentgen.labelers.rules.negation import Mention, read_sentence
from roentgen.record.radiograph import (
    FINDING_NAMES,
    SEVERITIES,
    Finding,
    FindingName,
    Report,
    State,
)
from roentgen.reports.sentences import sentences

_ORDER: tuple[State, ...] = ("absent", "uncertain", "present")


def label_report(report: Report) -> tuple[Finding, ...]:
    """The findings of a report's findings and impression sections, in the order of the 14 names.

    A report without these two sections is read from its last paragraph. One Finding for each
    name, or several of one state where their details differ ("endotracheal tube", "chest tube").
    "No Finding" is present where the report denies a finding or calls something normal, and no
    finding other than Support Devices is present or uncertain.
    """
    mentions, any_normal = mentions_of(report)
    by_name = {name: [m for m in mentions if m.name == name] for name in FINDING_NAMES}
    denied = by_name.pop("No Finding")
    labels = [finding for own in by_name.values() if own for finding in _summary(own)]
    no_pathology = all(f.state == "absent" for f in labels if f.name != "Support Devices")
    if no_pathology and (any_normal or any(m.state == "absent" for m in (*mentions, *denied))):
        labels.append(Finding(name="No Finding"))
    return tuple(sorted(labels, key=lambda finding: FINDING_NAMES.index(finding.name)))


def mentions_of(report: Report) -> tuple[list[Mention], bool]:
    """Every mention of a finding, and whether anything is called normal or clear."""
    mentions: list[Mention] = []
    any_normal = False
    sections = [text for text in (report.findings, report.impression) if text]
    for text in sections or [report.last_paragraph or ""]:
        for sentence in sentences(text):
            words = words_of(sentence)
            found, normal = read_sentence(words, find_phrases(words))
            mentions += found
            any_normal |= normal
    return mentions, any_normal


def _summary(mentions: Sequence[Mention]) -> list[Finding]:
    """All mentions of one name as findings of one state, one for each noun given as detail."""
    state = max((mention.state for mention in mentions), key=_ORDER.index)
    deciding = [mention for mention in mentions if mention.state == state]
    nouns: list[str | None] = [*dict.fromkeys(m.detail for m in deciding if m.detail)] or [None]
    if state == "absent":
        nouns = [None]
    return [_merge(deciding[0].name, state, noun, deciding) for noun in nouns]


def _merge(
    name: FindingName, state: State, noun: str | None, mentions: Sequence[Mention]
) -> Finding:
    """One finding of several mentions; both sides are bilateral, several places are omitted."""
    own = [m for m in mentions if noun is None or m.detail == noun]
    sides = {m.side for m in own if m.side}
    places = {m.place for m in own if m.place}
    severities = [m.severity for m in own if m.severity]
    if state == "absent":  # "no large effusion" does not give the side of a small one
        return Finding(name=name, state=state)
    words = [*(places if len(places) == 1 else ()), *([noun] if noun else ())]
    return Finding(
        name=name,
        state=state,
        side="bilateral" if len(sides) > 1 else next(iter(sides), None),
        severity=max(severities, key=SEVERITIES.index) if severities else None,
        detail=" ".join(words) or None,
    )
