"""Findings and CheXpert's row as views of statements."""

import random
from typing import Literal

import pytest

from roentgen.errors import InputError
from roentgen.prompts.grammar import phrase
from roentgen.prompts.parser import parse_prompt
from roentgen.record.finding import FINDING_NAMES, SEVERITIES, Finding, Severity
from roentgen.record.statement import STATEMENT_STATES, Extent, Statement, StatementState
from roentgen.statements.hierarchy import findings, labels_of, places
from roentgen.statements.labels import chexpert_row, findings_of, with_no_finding

LEFT, RIGHT = Extent("left"), Extent("right")
SIDES: tuple[Literal["left", "right"], ...] = ("left", "right")


def stated(finding: str, *extents: Extent, state: StatementState = "present") -> Statement:
    return Statement(finding=finding, state=state, extents=extents or (Extent(),))


def phrases(*statements: Statement) -> list[str]:
    return [phrase(finding) for finding in findings_of(statements)]


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ([], []),
        ([stated("pleural effusion", Extent("left", "small"))], ["small left pleural effusion"]),
        # each side has its own severity
        (
            [stated("pleural effusion", Extent("left", "small"), Extent("right", "moderate"))],
            ["small left pleural effusion", "moderate right pleural effusion"],
        ),
        (
            [
                stated("pleural effusion", Extent("right", "large")),
                stated("pleural effusion", Extent("left", "small")),
            ],
            ["small left pleural effusion", "large right pleural effusion"],
        ),
        (
            [stated("pleural effusion", LEFT, RIGHT), stated("pleural effusion", RIGHT)],
            ["bilateral pleural effusion"],
        ),
        (
            [stated("pleural effusion", Extent("left", "small"), Extent("right", "small"))],
            ["small bilateral pleural effusion"],
        ),
        (
            [stated("pleural effusion", Extent("left", "small"), RIGHT)],
            ["small left pleural effusion", "right pleural effusion"],
        ),
        # several mentions
        (
            [
                stated("pleural effusion", Extent("left", "small")),
                stated("pleural effusion", Extent("left", "large")),
                stated("pleural effusion"),
            ],
            ["large left pleural effusion"],
        ),
        (
            [stated("pneumothorax", LEFT), stated("pneumothorax", Extent(None, "moderate"))],
            ["moderate left pneumothorax"],
        ),
        (
            [
                stated("pleural effusion", LEFT, RIGHT),
                stated("pleural effusion", Extent(None, "moderate")),
            ],
            ["moderate bilateral pleural effusion"],
        ),
        (
            [
                stated("pleural effusion", Extent("left", "small"), Extent("right", "moderate")),
                stated("pleural effusion", Extent(None, "large")),
            ],
            ["small left pleural effusion", "moderate right pleural effusion"],
        ),
        (
            [stated("edema", Extent(None, "small")), stated("edema", Extent(None, "large"))],
            ["severe edema"],
        ),
        # the state that decides, and only its sides
        (
            [
                stated("pneumonia", LEFT, state="uncertain"),
                stated("pneumonia", Extent("right", None, ("lower lobe",))),
                stated("pneumonia", state="absent"),
            ],
            ["right lower lobe pneumonia"],
        ),
        (
            [
                stated("pneumothorax", Extent("right", "large"), state="absent"),
                stated("pneumothorax", LEFT, state="uncertain"),
            ],
            ["possible left pneumothorax"],
        ),
        ([stated("pneumothorax", Extent("left", "large"), state="absent")], ["no pneumothorax"]),
        ([stated("cardiomegaly", state="stable")], []),
        (
            [stated("cardiomegaly", state="stable"), stated("cardiomegaly", state="absent")],
            ["no cardiomegaly"],
        ),
        # no side of the heart and the mediastinum
        (
            [stated("cardiomegaly", Extent("left", "small"), RIGHT)],
            ["mild cardiomegaly"],
        ),
        ([stated("superior mediastinal enlargement", RIGHT)], ["enlarged cardiomediastinum"]),
        # places
        (
            [stated("edema", Extent("left", None, ("basal",)), Extent("right", None, ("basal",)))],
            ["bilateral basal edema"],
        ),
        (
            [
                stated(
                    "lung opacity",
                    Extent("left", None, ("upper lobe",)),
                    Extent("right", None, ("lower lobe",)),
                )
            ],
            ["bilateral lung opacity"],
        ),
        ([stated("nodule", Extent("right", None, ("upper lobe", "apical")))], ["right nodule"]),
        ([stated("nodule", Extent(None, None, ("upper zone", "apical")))], ["apical nodule"]),
        ([stated("edema", Extent(None, None, ("infrahilar",)))], ["perihilar edema"]),
        ([stated("nodule", Extent("left", None, ("lingula",)))], ["left upper lobe nodule"]),
        ([stated("fracture", Extent("left", None, ("third rib",)))], ["left fracture"]),
        (
            [stated("pneumonia", Extent(None, None, ("basal",))), stated("pneumonia", LEFT, RIGHT)],
            ["bilateral basal pneumonia"],
        ),
        # nouns
        (
            [stated("endotracheal tube"), stated("chest tube", LEFT), stated("support devices")],
            ["endotracheal tube", "left chest tube"],
        ),
        ([stated("picc", RIGHT), stated("central line")], ["right central line"]),
        ([stated("healed rib fracture", LEFT)], ["left rib fracture"]),
        (
            [stated("nodule", RIGHT), stated("lung lesion", LEFT)],
            ["right nodule", "left lung lesion"],
        ),
        ([stated("nodule", RIGHT), stated("lung lesion")], ["right nodule"]),
        (
            [stated("fracture", RIGHT), stated("rib fracture", Extent("right", "small"))],
            ["small right rib fracture"],
        ),
        (
            [stated("fracture", Extent("right", "large")), stated("rib fracture", RIGHT)],
            ["large right fracture", "right rib fracture"],
        ),
        (
            [
                stated("lung opacity", Extent("left", None, ("basal",))),
                *(stated("infiltrate", Extent(s, None, ("basal",))) for s in SIDES),
            ],
            ["bilateral basal infiltrate"],
        ),
        ([stated("support devices", LEFT), stated("pacemaker")], ["pacemaker"]),
        ([stated("nodule", state="absent"), stated("mass", state="absent")], ["no lung lesion"]),
        (
            [stated("nodular opacity", Extent("right", "small", ("basal",)))],
            ["small right basal nodule", "small right basal lung opacity"],
        ),
        (
            [stated("hydropneumothorax", LEFT)],
            ["left pleural effusion", "left pneumothorax"],
        ),
        # below a label, and without one
        ([stated("linear atelectasis", LEFT)], ["left atelectasis"]),
        ([stated("empyema"), stated("emphysema"), stated("hiatal hernia")], ["pleural effusion"]),
    ],
)
def test_findings_of_statements(statements: list[Statement], expected: list[str]) -> None:
    assert phrases(*statements) == expected


def test_findings_of_any_statements_can_be_written_and_read_back() -> None:
    draw = random.Random(0)
    nodes, sites = list(findings()), list(places())
    severities: list[Severity | None] = [None, *SEVERITIES]
    sides: list[tuple[Literal["left", "right"] | None, ...]] = [
        *(("left",), ("right",), ("left", "right"), (None,)),
    ]
    for _ in range(500):
        statements = [
            stated(
                draw.choice(nodes),
                *(
                    Extent(side, draw.choice(severities), tuple(draw.sample(sites, k=k)))
                    for k in [draw.randrange(3)]
                    for side in draw.choice(sides)
                ),
                state=draw.choice(STATEMENT_STATES),
            )
            for _ in range(draw.randrange(8))
        ]
        found = findings_of(statements)
        draw.shuffle(statements)
        assert sorted(map(phrase, findings_of(statements))) == sorted(map(phrase, found))
        assert [f.name for f in found] == sorted((f.name for f in found), key=FINDING_NAMES.index)
        for finding in found:
            assert parse_prompt(phrase(finding)).findings == (finding,)
        row = chexpert_row(statements)
        values = {"present": 1, "uncertain": -1, "absent": 0}
        assert {name for name in row if row[name] is not None} == {f.name for f in found}
        assert all(row[f.name] == values[f.state] for f in found)
        labeled = {n for s in statements if s.state == "present" for n in labels_of(s.finding)}
        assert {name for name, value in row.items() if value == 1} == labeled


def test_row_of_chexpert() -> None:
    statements = [
        stated("viral pneumonia", state="uncertain"),
        stated("pleural effusion"),
        stated("nodule", state="absent"),
        stated("pleural abnormality", state="absent"),
        stated("cardiomegaly", state="stable"),
        stated("emphysema"),
    ]
    row = chexpert_row(statements)
    assert list(row) == list(FINDING_NAMES)
    assert {name: value for name, value in row.items() if value is not None} == {
        "Lung Lesion": 0,
        "Pleural Effusion": 1,
        "Pleural Other": 0,
        "Pneumonia": -1,
    }
    closed = chexpert_row(statements, closed=True)
    assert {name: value for name, value in closed.items() if value is not None} == {
        "Consolidation": -1,
        "Lung Opacity": -1,
        "Pleural Effusion": 1,
        "Pleural Other": 0,
        "Pneumonia": -1,
    }
    more = [*statements, stated("edema"), stated("cardiomegaly", state="absent")]
    assert chexpert_row(more, closed=True)["Lung Opacity"] == 1
    assert chexpert_row(more)["Cardiomegaly"] == 0
    assert chexpert_row([stated("lung opacity", state="absent")], closed=True)["Edema"] == 0


def test_unknown_findings_are_named() -> None:
    for closed in (False, True):
        with pytest.raises(InputError, match="unknown finding 'No Finding'"):
            chexpert_row([stated("No Finding")], closed=closed)
    for place in ("knee", "nodule"):
        with pytest.raises(InputError, match=f"unknown place '{place}'"):
            findings_of([stated("edema", Extent(None, None, (place,)))])


def test_one_finding_is_one_record() -> None:
    assert findings_of([stated("pneumonia", Extent("left", "moderate", ("lower lobe",)))]) == (
        Finding(name="Pneumonia", side="left", severity="moderate", detail="lower lobe"),
    )


@pytest.mark.parametrize(
    ("given", "normal", "expected"),
    [
        ("", False, False),
        ("", True, True),
        ("no edema", False, False),
        ("no edema", True, True),
        ("no edema, no pneumothorax", False, True),
        ("no pleural effusion, support devices", False, False),
        ("no pleural effusion, no fracture, support devices", False, True),
        ("support devices, no support devices", False, False),
        ("no edema, no fracture, possible pneumonia", True, False),
        ("edema, no fracture, no pneumothorax", True, False),
    ],
)
def test_no_finding_is_where_several_are_denied_and_none_is_there(
    given: str, normal: bool, expected: bool
) -> None:
    findings = tuple(
        sorted(parse_prompt(given).findings, key=lambda one: FINDING_NAMES.index(one.name))
    )
    found = with_no_finding(findings, normal=normal)
    assert (Finding(name="No Finding") in found) == expected
    assert tuple(one for one in found if one.name != "No Finding") == findings
    assert list(found) == sorted(found, key=lambda one: FINDING_NAMES.index(one.name))
