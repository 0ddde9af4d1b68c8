"""Findings from a report by rules, in the tradition of NegBio and the CheXpert labeler.

Findings and impression are cut into sentences; in each, mentions are found (`mentions`) and
their state, side, severity and place are read (`negation`). Over a report, present outweighs
uncertain and uncertain outweighs absent. What no sentence names gets no label.

`python -m eval.labeler configs/eval/labeler.yaml` measures it against Open-i's MeSH terms.
"""

from collections.abc import Iterable, Sequence

from roentgen.labelers.rules.mentions import find_units, words_of
from roentgen.labelers.rules.negation import Mention, read_sentence
from roentgen.record.findings import (
    FINDING_NAMES,
    SEVERITIES,
    Finding,
    FindingName,
    State,
)
from roentgen.record.radiograph import Report
from roentgen.reports.sentences import sentences

_ORDER: tuple[State, ...] = ("absent", "uncertain", "present")
LONGEST_SENTENCE = 500  # words; what is longer is no sentence, and is cut


def label_report(report: Report) -> tuple[Finding, ...]:
    """What a report's findings and impression say, in the order of the 14 names.

    A report without these two sections is read from its last paragraph. One Finding for each
    name, or several of one state where their details differ ("endotracheal tube", "chest tube").
    "No Finding" is present where the report says something, and nothing beside Support Devices
    is present or uncertain.
    """
    mentions, healthy = mentions_of(report)
    found = {name: [m for m in mentions if m.name == name] for name in FINDING_NAMES}
    denied = found.pop("No Finding")
    labels = [finding for told in found.values() if told for finding in _summary(told)]
    quiet = all(f.state == "absent" for f in labels if f.name != "Support Devices")
    said = healthy or any(m.state == "absent" for m in (*mentions, *denied))
    if quiet and said:
        labels.append(Finding(name="No Finding"))
    return tuple(sorted(labels, key=lambda finding: FINDING_NAMES.index(finding.name)))


def mentions_of(report: Report) -> tuple[list[Mention], bool]:
    """Every mention of a finding, and whether anything is called normal or clear."""
    mentions: list[Mention] = []
    healthy = False
    for text in _sections(report):
        for sentence in sentences(text):
            words = words_of(sentence)
            for start in range(0, len(words), LONGEST_SENTENCE):
                part = words[start : start + LONGEST_SENTENCE]
                found, normal = read_sentence(part, find_units(part))
                mentions += found
                healthy |= normal
    return mentions, healthy


def _sections(report: Report) -> Iterable[str]:
    told = [section for section in (report.findings, report.impression) if section]
    return told or [section for section in (report.last_paragraph,) if section]


def _summary(mentions: Sequence[Mention]) -> list[Finding]:
    """All mentions of one name as findings of one state, one for each noun of detail."""
    state = max((mention.state for mention in mentions), key=_ORDER.index)
    deciding = [mention for mention in mentions if mention.state == state]
    nouns: list[str | None] = [*dict.fromkeys(m.detail for m in deciding if m.detail)] or [None]
    if state == "absent":
        nouns = [None]
    return [_merge(deciding[0].name, state, noun, deciding) for noun in nouns]


def _merge(
    name: FindingName, state: State, noun: str | None, mentions: Sequence[Mention]
) -> Finding:
    """One finding; a side or place that mentions contradict is bilateral or left out."""
    own = [m for m in mentions if noun is None or m.detail == noun]
    sides = {m.side for m in own if m.side}
    places = {m.place for m in own if m.place}
    severities = [m.severity for m in own if m.severity]
    if state == "absent":  # "no large effusion" says nothing of a small one's side
        return Finding(name=name, state=state)
    words = [*(places if len(places) == 1 else ()), *([noun] if noun else ())]
    return Finding(
        name=name,
        state=state,
        side="bilateral" if len(sides) > 1 else next(iter(sides), None),
        severity=max(severities, key=SEVERITIES.index) if severities else None,
        detail=" ".join(words) or None,
    )
