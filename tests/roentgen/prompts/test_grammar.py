import itertools
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from roentgen.errors import InputError
from roentgen.prompts.grammar import (
    PromptStyle,
    findings_text,
    has_text,
    phrase,
    prompt_of,
    source_others,
)
from roentgen.prompts.parser import parse_prompt, split_view
from roentgen.prompts.vocabulary import DETAIL_NOUNS, PLACES, prompt_phrases
from roentgen.record.finding import (
    FINDING_NAMES,
    SEVERITIES,
    SIDES,
    STATES,
    Finding,
    FindingName,
    Severity,
    Side,
)
from roentgen.record.radiograph import VIEW_TOKENS, VIEWS, Radiograph, Report
from roentgen.record.statement import Extent, Statement

EFFUSION = Finding(name="Pleural Effusion", side="left", severity="small")
RADIOGRAPH = Radiograph(
    id="r1",
    patient_id="p1",
    study_id="s1",
    split="train",
    image=b"",
    view="PA",
    findings=(
        Finding(name="Pneumothorax", state="absent"),
        Finding(name="Edema", state="uncertain"),
        EFFUSION,
        Finding(name="Cardiomegaly"),
    ),
    report=Report(
        findings="The heart is\n large.", impression="Cardiomegaly.", last_paragraph="All normal."
    ),
    age=63.4,
    sex="F",
    source="test",
    license="CC0-1.0",
)


def test_every_combination_is_read_back_exactly() -> None:
    details: list[str | None]
    count = 0
    for name in FINDING_NAMES:
        nouns = DETAIL_NOUNS.get(name, ())
        details = [None, *nouns, *PLACES, "dense, patchy", "Nodule", "right upper zone"]
        details += [f"{place} {noun}" for place in PLACES for noun in nouns]
        for state, side, severity, detail in itertools.product(
            STATES, (None, *SIDES), (None, *SEVERITIES), details
        ):
            finding = Finding(name=name, state=state, side=side, severity=severity, detail=detail)
            assert parse_prompt(phrase(finding)).findings == (finding,), phrase(finding)
            assert parse_prompt(phrase(finding).upper()).findings[0].name == name
            count += 1
    assert count > 10_000


SENTENCE = PromptStyle(form="sentence")


def test_a_sentence_of_findings() -> None:
    assert findings_text(RADIOGRAPH.findings, SENTENCE) == (
        "with cardiomegaly and small left pleural effusion, without pneumothorax, "
        "with uncertain edema"
    )
    style = replace(SENTENCE, demographics=True, view_token=False)
    assert prompt_of(RADIOGRAPH, style).startswith("63 year old woman with cardiomegaly and small")


def test_a_sentence_is_read_back() -> None:
    draw = random.Random(0)
    details = (None, None, "upper zone", "dense, patchy", "right upper zone")
    for _ in range(2000):
        names = draw.sample(FINDING_NAMES, draw.randint(0, 6))
        findings = {
            Finding(
                name=name,
                state=draw.choice(STATES),
                side=draw.choice((None, *SIDES)),
                severity=draw.choice((None, *SEVERITIES)),
                detail=draw.choice((*details, *DETAIL_NOUNS.get(name, ()))),
            )
            for name in names
        }
        text = findings_text(findings, SENTENCE)
        assert set(parse_prompt(text).findings) == findings, text
        assert len(parse_prompt(text).findings) == len(findings)


def side_of(side: Side, severity: Severity | None, detail: str | None = None) -> Finding:
    return Finding(name="Pleural Effusion", side=side, severity=severity, detail=detail)


RIGHT, LEFT = side_of("right", "moderate"), side_of("left", "small")
UPPER, LOWER = side_of("right", None, "upper zone"), side_of("left", None, "lower zone")


@pytest.mark.parametrize(
    ("findings", "in_list", "in_sentence"),
    [
        (
            (LEFT, RIGHT),
            "moderate right and small left pleural effusion",
            "with moderate right and small left pleural effusion",
        ),
        (
            (UPPER, LOWER),
            "right upper zone and left lower zone pleural effusion",
            "with right upper zone and left lower zone pleural effusion",
        ),
        (
            tuple(replace(f, name="Lung Lesion", detail="nodule") for f in (RIGHT, LEFT)),
            "moderate right and small left nodule",
            "with moderate right and small left nodule",
        ),
        (
            (
                Finding(name="Edema", state="uncertain"),
                *(replace(f, state="uncertain") for f in (LEFT, RIGHT)),
            ),
            "possible edema, possible moderate right and small left pleural effusion",
            "with uncertain edema and uncertain moderate right and small left pleural effusion",
        ),
        (
            tuple(replace(f, state="absent") for f in (RIGHT, LEFT)),
            "no moderate right pleural effusion, no small left pleural effusion",
            "without moderate right pleural effusion or small left pleural effusion",
        ),
        (  # two severities, or none: one alone could belong to both sides
            (RIGHT, replace(LEFT, severity=None)),
            "moderate right pleural effusion, left pleural effusion",
            "with moderate right pleural effusion and left pleural effusion",
        ),
        (
            (RIGHT, replace(LEFT, detail="lower zone")),
            "moderate right pleural effusion, small left lower zone pleural effusion",
            "with moderate right pleural effusion and small left lower zone pleural effusion",
        ),
        (
            (RIGHT, replace(LEFT, detail="loculated")),
            "moderate right pleural effusion, small left pleural effusion (loculated)",
            "with moderate right pleural effusion and small left pleural effusion (loculated)",
        ),
        (  # nothing differs
            (RIGHT, replace(RIGHT, side="left")),
            "moderate right pleural effusion, moderate left pleural effusion",
            "with moderate right pleural effusion and moderate left pleural effusion",
        ),
        (
            (RIGHT, LEFT, side_of("bilateral", "large")),
            "moderate right pleural effusion, small left pleural effusion, "
            "large bilateral pleural effusion",
            "with moderate right pleural effusion and small left pleural effusion and "
            "large bilateral pleural effusion",
        ),
    ],
)
def test_sides_that_differ_are_one_phrase(
    findings: tuple[Finding, ...], in_list: str, in_sentence: str
) -> None:
    assert findings_text(findings, PromptStyle()) == in_list
    assert findings_text(findings, SENTENCE) == in_sentence
    for text in (in_list, in_sentence):
        assert set(parse_prompt(text).findings) == set(findings)
    # The right one is first, however they were ordered.
    for order in itertools.permutations(findings):
        if " and " in in_list:
            assert findings_text(order, PromptStyle()) == in_list


def any_finding(draw: random.Random, names: Sequence[FindingName]) -> Finding:
    name = draw.choice(names)
    words = draw.choice((*PLACES, "")), draw.choice((*DETAIL_NOUNS.get(name, ()), ""))
    return Finding(
        name=name,
        state=draw.choice(STATES),
        side=draw.choice((None, *SIDES)),
        severity=draw.choice((None, *SEVERITIES)),
        detail=draw.choice((None, "dense, patchy", " ".join(filter(None, words)) or None)),
    )


def test_any_findings_are_read_back() -> None:
    draw = random.Random(0)
    sides_together = 0
    for _ in range(20_000):
        names = draw.sample(FINDING_NAMES, draw.randint(1, 3))
        findings = [any_finding(draw, names) for _ in range(draw.randint(0, 4))]
        if findings and draw.random() < 0.8:  # the other side of one
            side = draw.choice(SIDES)
            findings.append(replace(findings[0], side=side, severity=draw.choice(SEVERITIES)))
        for style in (PromptStyle(), SENTENCE):
            text = findings_text(findings, style)
            read = parse_prompt(text).findings
            assert Counter(read) == Counter(findings), text
            assert findings_text(read, style) == text
        sides_together += " and " in findings_text(findings, PromptStyle())
    assert sides_together > 300


@pytest.mark.parametrize(
    ("typed", "written"),
    [
        (
            "small left and moderate right effusions",
            "moderate right and small left pleural effusion",
        ),
        (
            "severe left sided & mild right sided atelectasis",
            "mild right and severe left atelectasis",
        ),
        (
            "cardiomegaly, suspected large right and small left pneumothorax, no edema",
            "cardiomegaly, possible large right and small left pneumothorax, no edema",
        ),
        (
            "moderate right and possible small left effusion",
            "moderate right pleural effusion, possible small left pleural effusion",
        ),
        (
            "opacity in the right upper lobe and left lower lobe opacity",
            "right upper lobe and left lower lobe lung opacity",
        ),
        ("right & left effusion", "right pleural effusion, left pleural effusion"),
        ("small right and left effusion", "small bilateral pleural effusion"),
        ("edema and right & left effusion", "edema, right pleural effusion, left pleural effusion"),
    ],
)
def test_sides_that_people_type(typed: str, written: str) -> None:
    assert findings_text(parse_prompt(typed).findings, PromptStyle()) == written


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("mild left, moderate right effusion", "'mild left' names no finding"),
        ("moderate right effusion and small left", "'small left' names no finding"),
        ("small right and moderate left and large right effusion", "'small right' names no"),
        ("small right and large right effusion", "'small right' names no finding"),
        ("small right or moderate left effusion", "'small right' names no finding"),
        ("no moderate right and small left effusion", "leaves open whether it is absent"),
        ("possible edema and moderate right and small left effusion", "leaves open whether"),
        ("moderate right and small left effusion possible", "'possible' leaves open whether"),
        ("right and small left effusion", "leaves open what describes which side"),
        ("large right and small left basal effusion", "leaves open what describes which side"),
        ("small right upper lobe and left lower lobe opacity", "leaves open what describes"),
        ("moderate right and small left effusion (loculated)", "leaves open what describes"),
    ],
)
def test_sides_that_could_be_read_in_two_ways_are_refused(typed: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_prompt(typed)


@pytest.mark.parametrize("race", [None, "white", "black or african american", "White - Russian"])
@pytest.mark.parametrize("sex_words", ["woman", "female"])
@pytest.mark.parametrize("sex", [None, "F", "M"])
def test_race_is_read_back(race: str | None, sex_words: str, sex: None) -> None:
    style = PromptStyle(demographics=True, race=True, sex_words=sex_words)  # type: ignore[arg-type]
    radiograph = replace(RADIOGRAPH, race=race, sex=sex, age=50)
    content = parse_prompt(prompt_of(radiograph, style))
    assert (content.age, content.sex, content.race) == (50, sex, race)
    assert parse_prompt("white woman, edema").race == "white"


def test_entities_are_what_the_report_tells() -> None:
    report = Report(impression="Small left pleural effusion. No pneumothorax.")
    radiograph = replace(RADIOGRAPH, report=report, findings=())
    prompt = prompt_of(radiograph, PromptStyle(text="entities", view_token=False))
    assert "small left pleural effusion" in prompt
    assert {f.name for f in parse_prompt(prompt).findings} >= {"Pleural Effusion", "Pneumothorax"}
    with pytest.raises(InputError, match="'r1' has no report that names a finding"):
        prompt_of(replace(RADIOGRAPH, report=None), PromptStyle(text="entities"))


@pytest.mark.parametrize(
    ("impression", "more", "expected"),
    [
        (
            "Small left effusion. No pneumothorax, but emphysema. Possible pneumonia.",
            {},
            "small left pleural effusion, no pneumothorax, emphysema, possible pneumonia",
        ),
        (
            "Small left effusion. No pneumothorax, but emphysema. Possible pneumonia.",
            {"mention_absent": False, "mention_uncertain": False},
            "small left pleural effusion, emphysema",
        ),
        ("Possible edema. No edema.", {"mention_uncertain": False}, ""),
        ("Emphysema.", {}, "emphysema"),
        ("Normal chest.", {}, "no acute findings"),
        ("Stable effusion, unchanged.", {}, "pleural effusion"),
    ],
)
def test_facts_are_what_the_report_states_in_its_order(
    impression: str, more: dict[str, bool], expected: str
) -> None:
    radiograph = replace(RADIOGRAPH, report=Report(impression=impression), findings=())
    style = PromptStyle(text="facts", view_token=False, **more)  # type: ignore[arg-type]
    assert prompt_of(radiograph, style) == expected


STATED = (
    Statement(finding="pneumothorax", state="absent", source="graphs.json"),
    Statement(finding="emphysema", extents=(Extent("left", None, ("upper lobe",)),)),
    Statement(finding="pleural effusion", extents=(Extent("left", "small"), Extent("right"))),
    Statement(finding="atelectasis", state="stable"),
)


@pytest.mark.parametrize("report", [None, Report(impression="Edema. No fracture.")])
def test_statements_are_the_entities_and_facts_of_a_report(report: Report | None) -> None:
    own = (Finding(name="Fracture"),)
    radiograph = replace(RADIOGRAPH, report=report, findings=own, statements=STATED)
    prompts = {
        text: prompt_of(radiograph, PromptStyle(text=text, view_token=False))
        for text in ("findings", "entities", "facts")
    }
    assert prompts == {
        "findings": "fracture",
        "entities": "small left pleural effusion, right pleural effusion, no pneumothorax",
        "facts": "no pneumothorax, left upper lobe emphysema, "
        "right pleural effusion, small left pleural effusion",
    }
    (other,) = source_others(radiograph, PromptStyle(text="facts"))
    assert other == STATED[1]


@pytest.mark.parametrize(
    ("denied", "own", "expected"),
    [
        (("edema",), (), "no edema"),
        (("edema",), (Finding(name="No Finding"),), "no edema, no acute findings"),
        (("edema", "fracture"), (), "no edema, no fracture, no acute findings"),
    ],
)
def test_entities_of_statements_have_no_finding_as_the_reader_has(
    denied: tuple[str, ...], own: tuple[Finding, ...], expected: str
) -> None:
    statements = tuple(Statement(finding=name, state="absent") for name in denied)
    radiograph = replace(RADIOGRAPH, report=None, findings=own, statements=statements)
    prompt = prompt_of(radiograph, PromptStyle(text="entities", view_token=False))
    assert sorted(prompt.split(", ")) == sorted(expected.split(", "))


@pytest.mark.parametrize(
    ("text", "facts", "entities"),
    [
        (
            "Derrame pleural izquierdo pequeño. No se observa neumotórax.",
            "small left pleural effusion, no pneumothorax",
            "small left pleural effusion, no pneumothorax",
        ),
        (
            "左侧少量胸腔积液，未见气胸。",
            "small left pleural effusion, no pneumothorax",
            "small left pleural effusion, no pneumothorax",
        ),
        ("Edema.", "edema", "edema"),  # of no certain language
    ],
)
@pytest.mark.parametrize("section", ["findings", "last_paragraph"])
def test_reports_are_read_in_their_own_language(
    text: str, facts: str, entities: str, section: str
) -> None:
    radiograph = replace(RADIOGRAPH, report=Report(**{section: text}), findings=())
    assert prompt_of(radiograph, PromptStyle(text="facts", view_token=False)) == facts
    assert prompt_of(radiograph, PromptStyle(text="entities", view_token=False)) == entities


def test_a_report_in_a_language_that_is_not_read_names_no_finding() -> None:
    french = "Épanchement pleural gauche. Pas de pneumothorax. Le cœur est de taille normale."
    radiograph = replace(RADIOGRAPH, report=Report(findings=french))
    for text in ("entities", "facts"):
        with pytest.raises(InputError, match="'r1' has no report that names a finding"):
            prompt_of(radiograph, PromptStyle(text=text))


def test_only_a_missing_text_is_no_text() -> None:
    unknown = replace(RADIOGRAPH, statements=(Statement(finding="grippe"),))
    with pytest.raises(InputError, match="grippe"):
        has_text(unknown, PromptStyle(text="facts"))


@pytest.mark.parametrize("report", [None, Report(), Report(impression="Thank you.")])
def test_a_report_without_facts_has_no_prompt_of_them(report: Report | None) -> None:
    style = PromptStyle(text="facts")
    radiograph = replace(RADIOGRAPH, report=report)
    with pytest.raises(InputError, match="'r1' has no report that names a finding"):
        prompt_of(radiograph, style)
    assert not has_text(radiograph, style)


def test_facts_are_a_list() -> None:
    with pytest.raises(InputError, match="facts, which are a list: set"):
        PromptStyle(text="facts", form="sentence")


def test_phrases_differ_for_different_findings() -> None:
    findings = [
        Finding(name=name, state=state, side=side, severity=severity)
        for name, state, side, severity in itertools.product(
            FINDING_NAMES, STATES, (None, *SIDES), (None, *SEVERITIES)
        )
    ]
    assert len({phrase(finding) for finding in findings}) == len(findings)


@pytest.mark.parametrize(
    ("finding", "words"),
    [
        (EFFUSION, "small left pleural effusion"),
        (Finding(name="Cardiomegaly", severity="large"), "severe cardiomegaly"),
        (Finding(name="No Finding"), "no acute findings"),
        (Finding(name="No Finding", state="uncertain"), "possibly no acute findings"),
        (Finding(name="Edema", state="uncertain"), "possible edema"),
        (Finding(name="Lung Lesion", side="right", detail="nodule"), "right nodule"),
        (Finding(name="Support Devices", detail="endotracheal tube"), "endotracheal tube"),
        (
            Finding(name="Consolidation", side="right", severity="moderate", detail="lower zone"),
            "moderate right lower zone consolidation",
        ),
        (
            Finding(name="Lung Lesion", side="left", detail="upper zone nodule"),
            "left upper zone nodule",
        ),
        (Finding(name="Pneumonia", detail="viral pattern"), "pneumonia (viral pattern)"),
    ],
)
def test_words_that_are_written(finding: Finding, words: str) -> None:
    assert phrase(finding) == words


@pytest.mark.parametrize("detail", ["", " blank", "a (b)", "two\nlines"])
def test_a_detail_that_could_not_be_read_back_is_refused(detail: str) -> None:
    with pytest.raises(InputError, match="without parentheses"):
        phrase(Finding(name="Edema", detail=detail))


@pytest.mark.parametrize(
    ("typed", "written"),
    [
        ("LEFT small effusion", "small left pleural effusion"),
        ("bilateral pleural effusions", "bilateral pleural effusion"),
        ("small effusion on the left", "small left pleural effusion"),
        ("without pneumothorax", "no pneumothorax"),
        ("no effusion or pneumothorax", "no pleural effusion, no pneumothorax"),
        ("possible edema or pneumonia", "possible edema, possible pneumonia"),
        ("no left effusion nor edema", "no left pleural effusion, no edema"),
        (
            "enlarged heart and small left-sided effusion",
            "cardiomegaly, small left pleural effusion",
        ),
        ("cardiomegaly without edema", "cardiomegaly, no edema"),
        ("cardiomegaly with no evidence of edema.", "cardiomegaly, no edema"),
        ("No Finding", "no acute findings"),
        ("normal chest", "no acute findings"),
        ("no acute cardiopulmonary process", "no acute findings"),
        ("bibasilar atelectasis", "bilateral basal atelectasis"),
        ("nodule in the right upper zone", "right upper zone nodule"),
        (
            "massive effusion left and right; ETT",
            "large bilateral pleural effusion, endotracheal tube",
        ),
        ("severe pulmonary oedema", "severe edema"),
        ("opacity may represent pneumonia", "lung opacity, possible pneumonia"),
        ("opacity consistent with mild edema", "lung opacity, mild edema"),
        ("edema likely, effusion unlikely", "edema, possible pleural effusion"),
        ("pneumonia cannot be excluded; no edema", "possible pneumonia, no edema"),
        ("most likely edema, highly unlikely pneumonia", "edema, no pneumonia"),
        ("probably no acute findings", "possibly no acute findings"),
        ("", ""),
    ],
)
def test_words_and_orders_people_type(typed: str, written: str) -> None:
    assert ", ".join(map(phrase, parse_prompt(typed).findings)) == written


def test_every_name_of_the_fourteen_is_understood() -> None:
    for name in FINDING_NAMES:
        assert parse_prompt(name).findings == (Finding(name=name),)


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("heart attack", "unknown word 'heart'.*findings are: atelectasis"),
        ("edema, cardiomegally", "unknown word 'cardiomegally'.*nearest known: 'cardiomegaly'"),
        ("subdural effusion", "unknown word 'subdural'"),
        ("3 cm nodule", "unknown word '3'"),
        ("no edema and effusion", "leaves open whether"),
        ("no effusion, edema, or pneumothorax", "cannot tell what 'or' joins"),
        ("effusion or edema", "leaves open which"),
        ("effusion and", "cannot tell"),
        ("left", "names no finding"),
        ("no", "names no finding"),
        ("cardiomegaly effusion", "gives finding twice"),
        ("left right effusion", "gives side twice"),
        ("possible no edema", "both absent and uncertain"),
        ("possible likely edema", "gives its state twice"),
        ("consistent with no edema", "both absent and present"),
        ("cannot be excluded edema", "'cannot be excluded' must follow a finding"),
        ("edema consistent with", "'consistent with' names no finding"),
        ("edema and pneumonia unlikely", "'unlikely' leaves open whether"),
        ("pneumonia possible and edema", "leaves open whether"),
        ("edema (", "parenthesis"),
        ("nodule (calcified)", "two details"),
        ("<view-oblique> edema", "unknown view token '<view-oblique>'.*<view-lateral>"),
        ("<view-pa> <view-ap> edema", "more than one view token"),
    ],
)
def test_what_cannot_be_understood_is_named(typed: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        parse_prompt(typed)
    assert "\n" not in str(caught.value)


def test_a_comma_ends_a_negation() -> None:
    assert [f.state for f in parse_prompt("no edema, effusion").findings] == ["absent", "present"]


@pytest.mark.parametrize(
    ("style", "prompt"),
    [
        (
            PromptStyle(demographics=True),
            "<view-pa> 63 year old woman, cardiomegaly, small left pleural effusion, "
            "possible edema, no pneumothorax",
        ),
        (
            PromptStyle(view_token=False, mention_absent=False, mention_uncertain=False),
            "cardiomegaly, small left pleural effusion",
        ),
        (PromptStyle(text="none"), "<view-pa>"),
        (PromptStyle(text="none", view_token=False), ""),
        (PromptStyle(text="impression"), "<view-pa> Cardiomegaly."),
        (PromptStyle(text="last_paragraph"), "<view-pa> All normal."),
        (
            PromptStyle(text="report_findings", demographics=True),
            "<view-pa> 63 year old woman. The heart is large.",
        ),
    ],
)
def test_the_prompt_of_a_radiograph(style: PromptStyle, prompt: str) -> None:
    assert prompt_of(RADIOGRAPH, style) == prompt


def test_a_missing_report_section_is_named_without_its_text() -> None:
    for report in (None, Report(impression=None, findings="secret")):
        with pytest.raises(InputError, match=r"'r1' has no report section 'impression'") as caught:
            prompt_of(replace(RADIOGRAPH, report=report), PromptStyle(text="impression"))
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("age", [None, 5, 63])
@pytest.mark.parametrize("sex", [None, "F", "M"])
@pytest.mark.parametrize("view", [None, *VIEWS])
def test_view_and_patient_are_read_back(age: float | None, sex: None, view: None) -> None:
    radiograph = replace(RADIOGRAPH, age=age, sex=sex, view=view)
    content = parse_prompt(prompt_of(radiograph, PromptStyle(demographics=True)))
    assert (content.age, content.sex, content.view) == (age, sex, view)
    assert set(content.findings) == set(RADIOGRAPH.findings)


def test_the_order_of_findings_does_not_change_the_text() -> None:
    texts = {
        findings_text(order, PromptStyle()) for order in itertools.permutations(RADIOGRAPH.findings)
    }
    assert len(texts) == 1


def test_view_tokens_are_split_off() -> None:
    for view, token in VIEW_TOKENS.items():
        assert split_view(f"{token} clear lungs") == (view, "clear lungs")
    assert split_view("clear lungs") == (None, "clear lungs")


def test_an_unknown_prompt_text_is_refused() -> None:
    with pytest.raises(InputError, match="unknown prompt text 'history'"):
        PromptStyle(text="history")  # type: ignore[arg-type]


def test_phrases_of_the_lexicon_are_plain_words() -> None:
    assert all(word == word.lower() and "-" not in word for run in prompt_phrases() for word in run)
