"""Findings of the hierarchy beyond the 14 names in prompts."""

import random
from collections import Counter

import pytest

from roentgen.errors import InputError
from roentgen.generation.prompt_rows import rows_from_findings
from roentgen.prompts.grammar import PromptStyle, findings_text
from roentgen.prompts.parser import parse_prompt
from roentgen.prompts.vocabulary import LONGEST, PLACES, OtherNoun, prompt_phrases
from roentgen.record.finding import SEVERITIES, STATES, Finding
from roentgen.record.statement import Extent, Statement
from roentgen.statements.hierarchy import findings, labels_of

LIST, SENTENCE = PromptStyle(), PromptStyle(form="sentence")
BEYOND = sorted({m.node for m, *_ in prompt_phrases().values() if isinstance(m, OtherNoun)})


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("emphysema", Statement(finding="emphysema")),
        ("Hiatal hernia", Statement(finding="hiatal hernia")),
        ("possible pulmonary fibrosis", Statement(finding="pulmonary fibrosis", state="uncertain")),
        ("no hyperinflation", Statement(finding="hyperinflation", state="absent")),
        ("COPD", Statement(finding="chronic obstructive pulmonary disease")),
        ("pericardial effusion", Statement(finding="pericardial effusion")),
        (
            "severe upper lobe emphysema",
            Statement(finding="emphysema", extents=(Extent(None, "large", ("upper lobe",)),)),
        ),
        (
            "moderate right and small left emphysema",
            Statement(
                finding="emphysema", extents=(Extent("left", "small"), Extent("right", "moderate"))
            ),
        ),
        (
            "bibasilar bronchiectasis",
            Statement(
                finding="bronchiectasis",
                extents=(Extent("left", None, ("basal",)), Extent("right", None, ("basal",))),
            ),
        ),
    ],
)
def test_findings_beyond_the_14_names(typed: str, expected: Statement) -> None:
    assert parse_prompt(typed).others == (expected,)
    assert parse_prompt(typed).findings == ()


def test_every_finding_of_the_hierarchy_is_understood() -> None:
    for node in findings():
        if node == "mass lesion":  # a mass, and a lesion: which of the two is open
            continue
        for text in (node, node.upper(), f"possible {node}, fracture", f"no {node}"):
            content = parse_prompt(text)
            named = {other.finding for other in content.others} or {
                node for f in content.findings if f.name in labels_of(node) or node == "device"
            }
            assert node in named, text


def test_words_of_the_14_names_stay_what_they_are() -> None:
    assert len(BEYOND) > 200
    assert max(map(len, prompt_phrases())) <= LONGEST
    assert parse_prompt("basal atelectasis").findings == (
        Finding(name="Atelectasis", detail="basal"),
    )


def any_other(draw: random.Random, name: str) -> Statement:
    def extent(side: object) -> Extent:
        places = draw.choice(((), (draw.choice(PLACES),)))
        return Extent(side, draw.choice((None, *SEVERITIES)), places)  # type: ignore[arg-type]

    sides = draw.choice(((None,), ("left",), ("right",), ("left", "right")))
    return Statement(
        finding=name, state=draw.choice(STATES), extents=tuple(extent(side) for side in sides)
    )


def test_any_others_are_written_and_read_back() -> None:
    draw = random.Random(0)
    own = (Finding(name="Edema", state="uncertain"), Finding(name="Fracture", state="absent"))
    for _ in range(5000):
        others = [any_other(draw, name) for name in draw.sample(BEYOND, draw.randint(1, 3))]
        for style in (LIST, SENTENCE):
            text = findings_text(own, style, others)
            content = parse_prompt(text)
            assert Counter(content.others) == Counter(others), text
            assert Counter(content.findings) == Counter(own)
            assert findings_text(content.findings, style, content.others) == text


def test_others_follow_the_14_names_in_each_state() -> None:
    content = parse_prompt("mild emphysema, small hiatal hernia, edema, no goiter, no fracture")
    assert findings_text(content.findings, LIST, content.others) == (
        "edema, mild emphysema, small hiatal hernia, no fracture, no goiter"
    )
    assert findings_text(content.findings, SENTENCE, content.others) == (
        "with edema and mild emphysema and small hiatal hernia, without fracture or goiter"
    )


def test_a_kind_of_a_name_is_one_of_its_findings() -> None:
    content = parse_prompt("small left hydropneumothorax, edema, emphysema, no hemothorax, picc")
    assert content.findings == (Finding(name="Edema"),)
    assert content.labels() == (
        Finding(name="Edema"),
        Finding(name="Pleural Effusion", side="left", severity="small"),
        Finding(name="Pneumothorax", side="left", severity="small"),
        Finding(name="Support Devices", detail="central line"),
    )
    assert parse_prompt("no picc").labels() == ()


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("emphysema (bullous)", "has a detail, which only the 14 names have"),
        ("emphysema edema", "gives finding twice"),
        ("mass lesion", "gives finding twice"),
        ("no emphysema and edema", "leaves open whether"),
        ("emphisema", "unknown word 'emphisema'.*nearest known: 'emphysema'"),
    ],
)
def test_what_others_cannot_have_is_refused(typed: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_prompt(typed)


@pytest.mark.parametrize(
    "other",
    [
        Statement(finding="emphysema", state="stable"),
        Statement(finding="emphysema", extents=(Extent(None, None, ("lung",)),)),
        Statement(finding="emphysema", extents=(Extent(None, None, ("apical", "basal")),)),
    ],
)
def test_statements_without_words_are_refused(other: Statement) -> None:
    with pytest.raises(InputError, match="'emphysema' cannot be written in a prompt"):
        findings_text((), LIST, (other,))


def test_typed_prompts_have_them() -> None:
    (row,) = rows_from_findings("possible emphysema, left empyema", LIST, (None,), "findings[0]")
    assert row.prompt == "left empyema, possible emphysema"
    assert row.findings == (Finding(name="Pleural Effusion", side="left"),)
    assert row.others == ("emphysema uncertain", "empyema")
