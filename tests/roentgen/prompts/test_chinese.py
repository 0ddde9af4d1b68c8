import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product

import pytest

from roentgen.labelers.rules.rule_labeler import label_report, statements_of
from roentgen.prompts.chinese import chinese_text
from roentgen.prompts.vocabulary import DETAIL_NOUNS, NOUNS, PLACES
from roentgen.record.finding import FINDING_NAMES, SEVERITIES, SIDES, STATES, Finding
from roentgen.record.radiograph import Report
from roentgen.record.statement import Extent, Statement
from roentgen.statements.labels import NEVER_SIDED, findings_of


def all_findings() -> list[Finding]:
    """Every finding that the grammar can write and a report can state."""
    found = []
    for name in FINDING_NAMES:
        if name == "No Finding":
            continue
        sides = (None,) if name in NEVER_SIDED else (None, *SIDES)
        severities = (None,) if name == "Support Devices" else (None, *SEVERITIES)
        nouns = (None, *DETAIL_NOUNS.get(name, ()))
        details = [
            " ".join(filter(None, words)) or None for words in product((None, *PLACES), nouns)
        ]
        found += [
            Finding(name=name, state=state, side=side, severity=severity, detail=detail)
            for state, side, severity, detail in product(STATES, sides, severities, details)
        ]
    return found


def stated(finding: Finding) -> Statement:
    """The statement of one finding."""
    noun, place = NOUNS[finding.name], finding.detail or ""
    for special in DETAIL_NOUNS.get(finding.name, ()):
        if place.endswith(special):
            noun, place = special, place.removesuffix(special).strip()
    extents = [Extent(None, finding.severity, (place,) if place else ())]
    if finding.side == "bilateral":
        extents = [replace(extents[0], side="right"), replace(extents[0], side="left")]
    elif finding.side:
        extents = [replace(extents[0], side=finding.side)]
    return Statement(finding=noun, state=finding.state, extents=tuple(extents))


def read(text: str) -> tuple[Statement, ...]:
    return statements_of(Report(findings=text), "zh")


def what(statements: Iterable[Statement]) -> list[object]:
    return [(s.finding, s.state, s.extents) for s in statements]


def test_every_finding_is_read_back() -> None:
    for finding in all_findings():
        text = chinese_text([finding])
        assert what(read(text)) == what([stated(finding)]), text


@pytest.mark.parametrize("join", ["；", "。"])
def test_lists_of_findings_are_read_back(join: str) -> None:
    draw = random.Random(1)
    known = all_findings()
    for _ in range(3000):
        findings = draw.sample(known, draw.randint(2, 6))
        expected = findings_of(map(stated, findings))
        text = chinese_text(findings).replace("；", join)
        assert findings_of(read(text)) == expected, text
        assert findings_of(read(chinese_text(expected).replace("；", join))) == expected


def test_findings_without_doubt_are_read_back_from_one_sentence() -> None:
    draw = random.Random(2)
    known = [finding for finding in all_findings() if finding.state != "uncertain"]
    for _ in range(1000):
        findings = draw.sample(known, draw.randint(2, 6))
        text = "，".join(chinese_text([finding]) for finding in findings)
        assert findings_of(read(text)) == findings_of(map(stated, findings)), text


def test_sides_of_different_severity_are_one_phrase() -> None:
    findings: Sequence[Finding] = (
        Finding(name="Pleural Effusion", side="left", severity="small"),
        Finding(name="Pleural Effusion", side="right", severity="moderate"),
        Finding(name="Pneumothorax", state="absent"),
    )
    assert chinese_text(findings) == "右侧中等量、左侧少量胸腔积液；未见气胸"


def test_no_finding_is_read_back() -> None:
    normal = (Finding(name="No Finding"),)
    assert label_report(Report(findings=chinese_text(normal)), "zh") == normal


def test_other_details_are_in_brackets() -> None:
    assert chinese_text([Finding(name="Pneumonia", detail="viral")]) == "肺炎（viral）"
