import itertools
import random
from dataclasses import replace

import pytest

from roentgen.errors import InputError
from roentgen.prompts.grammar import PromptStyle, findings_text, phrase, prompt_of
from roentgen.prompts.parser import parse_prompt, split_view
from roentgen.prompts.vocabulary import DETAIL_NOUNS, PLACES, PROMPT_PHRASES
from roentgen.record.radiograph import (
    FINDING_NAMES,
    SEVERITIES,
    SIDES,
    STATES,
    VIEW_TOKENS,
    VIEWS,
    Finding,
    Radiograph,
    Report,
)

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
        ("heart failure", "unknown word 'heart'.*findings are: atelectasis"),
        ("edema, cardiomegally", "unknown word 'cardiomegally'.*nearest known: 'cardiomegaly'"),
        ("pericardial effusion", "unknown word 'pericardial'"),
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
    assert all(word == word.lower() and "-" not in word for run in PROMPT_PHRASES for word in run)
