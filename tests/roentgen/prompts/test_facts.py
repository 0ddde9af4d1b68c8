from dataclasses import replace

import numpy as np
import pytest

from roentgen.errors import InputError
from roentgen.prompts.facts import facts_text
from roentgen.prompts.grammar import phrase
from roentgen.prompts.parser import parse_prompt
from roentgen.prompts.vocabulary import DEGREES, PLACES, SIZED_FINDINGS, SIZES
from roentgen.record.finding import SEVERITIES, Severity
from roentgen.record.statement import STATEMENT_STATES, Extent, Statement, StatementState
from roentgen.statements.hierarchy import ancestors, findings, places
from roentgen.statements.labels import findings_of


def said(
    finding: str,
    state: StatementState = "present",
    *extents: Extent,
    severity: Severity | None = None,
) -> Statement:
    return Statement(finding=finding, state=state, extents=extents or (Extent(None, severity),))


RIGHT, LEFT = Extent("right"), Extent("left")


@pytest.mark.parametrize(
    ("statements", "text"),
    [
        ([], ""),
        (
            [
                said(
                    "pleural effusion",
                    "present",
                    Extent("right", "moderate"),
                    Extent("left", "small"),
                ),
                said("pneumonia", "uncertain"),
                said("pneumothorax", "absent"),
            ],
            "moderate right and small left pleural effusion, possible pneumonia, no pneumothorax",
        ),
        (
            [said("pneumothorax", "absent"), said("cardiomegaly"), said("edema", "absent")],
            "no pneumothorax, cardiomegaly, no edema",
        ),
        ([said("emphysema", severity="large")], "severe emphysema"),
        ([said("hiatal hernia", severity="large")], "large hiatal hernia"),
        ([said("bullous emphysema", severity="small")], "mild bullous emphysema"),
        ([said("edema", severity="large")], "severe edema"),
        ([said("pleural effusion", "present", LEFT, RIGHT)], "bilateral pleural effusion"),
        ([said("pleural effusion", "absent", LEFT, RIGHT)], "no pleural effusion"),
        ([said("pleural effusion", "absent", LEFT)], "no left pleural effusion"),
        (
            [said("pleural effusion", "absent", Extent("left", "large"))],
            "no large left pleural effusion",
        ),
        (
            [said("pleural effusion", "present", RIGHT, Extent("left", "small"))],
            "right pleural effusion, small left pleural effusion",
        ),
        (
            [
                said(
                    "consolidation",
                    "present",
                    Extent("right", None, ("upper lobe",)),
                    Extent("left", None, ("lower lobe",)),
                )
            ],
            "right upper lobe and left lower lobe consolidation",
        ),
        (
            [said("nodule", "present", Extent("right", None, ("lung", "upper lobe", "lingula")))],
            "right upper lobe nodule",
        ),
        (
            [said("atelectasis", "present", Extent("right", None, ("middle lobe", "lower lobe")))],
            "right middle lobe and lower lobe atelectasis",
        ),
        ([said("cardiomegaly", "present", Extent("left", "small"))], "mild cardiomegaly"),
        ([said("edema", "stable"), said("fracture")], "fracture"),
    ],
)
def test_statements_are_written_in_their_order(statements: list[Statement], text: str) -> None:
    assert facts_text(statements) == text


@pytest.mark.parametrize(
    ("statements", "text"),
    [
        # The same again, with less and with more.
        ([said("edema"), said("fracture"), said("edema")], "edema, fracture"),
        (
            [
                said("pleural effusion", "present", Extent("left", "small")),
                said("pleural effusion"),
            ],
            "small left pleural effusion",
        ),
        (
            [said("pleural effusion"), said("edema"), said("pleural effusion", "present", LEFT)],
            "left pleural effusion, edema",
        ),
        (
            [said("pleural effusion", "present", LEFT), said("pleural effusion", "present", RIGHT)],
            "bilateral pleural effusion",
        ),
        # Two states.
        ([said("edema", "absent"), said("edema", "uncertain")], "possible edema"),
        ([said("edema", "uncertain"), said("edema")], "edema"),
        (
            [said("pneumothorax", "present", RIGHT), said("pneumothorax", "absent", LEFT)],
            "right pneumothorax, no left pneumothorax",
        ),
        (
            [said("pneumothorax", "present", RIGHT), said("pneumothorax", "absent")],
            "right pneumothorax",
        ),
        # Kinds.
        (
            [said("pleural effusion"), said("loculated pleural effusion", "present", LEFT)],
            "left loculated pleural effusion",
        ),
        (
            [said("support devices"), said("chest tube"), said("picc", "absent")],
            "chest tube, no picc",
        ),
        ([said("fracture", "absent"), said("rib fracture", "absent")], "no fracture"),
        (
            [said("fracture", "absent", LEFT), said("rib fracture", "absent")],
            "no left fracture, no rib fracture",
        ),
        (
            [said("pneumonia", "absent"), said("consolidation", "absent"), said("atelectasis")],
            "no pneumonia, no consolidation, atelectasis",
        ),
        (
            [said("lung opacity"), said("pneumonia", "uncertain")],
            "lung opacity, possible pneumonia",
        ),
        (
            [said("lung opacity", "present", LEFT), said("atelectasis")],
            "left lung opacity, atelectasis",
        ),
    ],
)
def test_no_fact_is_repeated_or_contradicted(statements: list[Statement], text: str) -> None:
    assert facts_text(statements) == text
    assert facts_text([*statements, *statements]) == text


def test_findings_with_a_size_are_of_the_hierarchy() -> None:
    assert findings().keys() >= SIZED_FINDINGS


def test_what_the_hierarchy_does_not_have_is_refused() -> None:
    with pytest.raises(InputError, match="unknown finding 'flu'"):
        facts_text([said("flu")])
    with pytest.raises(InputError, match="unknown place 'desk'"):
        facts_text([said("edema", "present", Extent(None, None, ("desk",)))])


@pytest.mark.parametrize("state", ["present", "uncertain", "absent"])
@pytest.mark.parametrize("name", [n for n, f in findings().items() if f.label or f.in_prompts])
def test_words_are_those_of_the_grammar_and_read_back(name: str, state: StatementState) -> None:
    for severity in (None, *SEVERITIES):
        for extents in (
            (Extent(None, severity),),
            (Extent("left", severity, ("apical",)),),
            (Extent("left", severity), Extent("right", severity)),
            (Extent("left", "small"), Extent("right", "large")),
        ):
            statement = said(name, state, *extents)
            text = facts_text([statement])
            expected = findings_of([replace(statement, state="present")])
            found = parse_prompt(text).findings
            assert {f.state for f in found} == {state}
            if state != "absent":
                assert {replace(f, state="present") for f in found} == set(expected)
            if len(expected) == 1 and state == "uncertain":
                assert text == phrase(replace(expected[0], state="uncertain"))


def test_random_reports_have_no_other_words_and_deny_only_what_is_absent() -> None:
    names, where = list(findings()), list(places())
    known = {"no", "possible", "and", "left", "right", "bilateral"}
    known |= {*SIZES.values(), *DEGREES.values()}
    known |= {word for name in (*names, *PLACES) for word in name.split()}
    draws = np.random.default_rng(6)
    for _ in range(3000):
        statements = []
        for _ in range(int(draws.integers(1, 9))):
            a, b = ((None, *SEVERITIES)[i] for i in draws.integers(4, size=2))
            here, there = (tuple(map(str, draws.choice(where, size=i))) for i in (1, 2))
            given = (Extent(None, a, there), Extent("left", a, here), Extent("right", b, there))
            extents = given[:1] if draws.integers(2) else given[1 : 2 + draws.integers(2)]
            state = STATEMENT_STATES[int(draws.integers(4))]
            finding = names[int(draws.integers(120)) % int(draws.integers(5, len(names)))]
            statements.append(Statement(finding=finding, state=state, extents=extents))
        text = facts_text(statements)
        phrases = text.split(", ") if text else []
        assert len(set(phrases)) == len(phrases)
        assert {word for each in phrases for word in each.split()} <= known
        absent = {s.finding for s in statements if s.state == "absent"}
        present = {s.finding for s in statements if s.state in ("present", "uncertain")}
        for each in phrases:
            assert "no" not in each.split()[1:]
            denied = each.startswith("no ")
            assert any(each.endswith(name) for name in (absent if denied else present))
        affirmed = [each for each in phrases if not each.startswith(("no ", "possible "))]
        written = {name for name in names for each in affirmed if each.endswith(name)}
        implied = written.union(*map(ancestors, written))
        assert {s.finding for s in statements if s.state == "present"} <= implied
