import itertools
import random
from dataclasses import replace
from typing import Any

import pytest

from roentgen.errors import InputError
from roentgen.prompts.context_words import (
    ContextRule,
    check_rules,
    context_by_hand,
    requested_context,
    shipped_rules,
)
from roentgen.prompts.grammar import PromptStyle, prompt_of
from roentgen.prompts.parser import parse_prompt
from roentgen.record.context import ContextValue
from roentgen.record.finding import Finding
from roentgen.record.radiograph import Radiograph

FEVER = ContextRule(
    word="febrile", name="temperature", at_least=38.0, unit="C", otherwise="afebrile"
)
OXYGEN = ContextRule(word="on oxygen", name="oxygen")
STYLE = PromptStyle(context=True, demographics=True)
RADIOGRAPH = Radiograph(
    id="r1",
    patient_id="p1",
    study_id="s1",
    split="train",
    image=b"",
    view="PA",
    findings=(Finding(name="Pleural Effusion", side="left", severity="small"),),
    age=63.4,
    sex="F",
    context=(
        ContextValue(name="temperature", value=38.6, unit="C", minutes_before=40),
        ContextValue(name="oxygen_saturation", value=88, unit="%", minutes_before=40),
        ContextValue(name="oxygen", value=1),
    ),
    source="test",
    license="CC0-1.0",
)


def value(name: str, number: float, unit: str = "", **more: Any) -> ContextValue:
    return ContextValue(name=name, value=number, unit=unit, **more)


def words(
    *values: ContextValue, rules: tuple[ContextRule, ...], imputed: bool = False
) -> list[str | None]:
    found = requested_context(values, rules, imputed=imputed)
    return [v.name if v.value else f"not {v.name}" for v in found]


@pytest.mark.parametrize(
    ("style", "prompt"),
    [
        (
            STYLE,
            "<view-pa> 63 year old woman, febrile, hypoxic on oxygen, small left pleural effusion",
        ),
        (
            replace(STYLE, form="sentence"),
            "<view-pa> 63 year old woman, febrile, hypoxic on oxygen, with small left pleural "
            "effusion",
        ),
        (PromptStyle(context=True, text="none", view_token=False), "febrile, hypoxic on oxygen"),
        (
            PromptStyle(context=True, context_rules=(FEVER, OXYGEN)),
            "<view-pa> febrile on oxygen, small left pleural effusion",
        ),
    ],
)
def test_context_stands_between_patient_and_findings(style: PromptStyle, prompt: str) -> None:
    assert prompt_of(RADIOGRAPH, style) == prompt


def test_without_the_slot_context_is_not_written() -> None:
    for form in ("list", "sentence"):
        style = PromptStyle(demographics=True, form=form)
        assert prompt_of(RADIOGRAPH, style) == prompt_of(replace(RADIOGRAPH, context=()), style)
    assert STYLE.without_context() == PromptStyle(demographics=True)


def test_unknown_context_is_not_written() -> None:
    plain = STYLE.without_context()
    unknown = replace(RADIOGRAPH, context=())
    for form in ("list", "sentence"):
        style = replace(STYLE, form=form)
        assert prompt_of(unknown, style) == prompt_of(unknown, replace(plain, form=style.form))


@pytest.mark.parametrize(
    ("bound", "below", "at", "beyond"),
    [
        ("at_least", False, True, True),
        ("above", False, False, True),
        ("at_most", True, True, False),
        ("below", True, False, False),
    ],
)
def test_thresholds(bound: str, below: bool, at: bool, beyond: bool) -> None:
    rule = ContextRule(word="abnormal", name="lab", unit="g", **{bound: 12.0})  # type: ignore[arg-type]
    for number, written in ((11.9, below), (12.0, at), (12.1, beyond)):
        assert words(value("lab", number, "g"), rules=(rule,)) == ["abnormal"] * written


def test_the_shipped_thresholds() -> None:
    cases = [
        ("temperature", "C", 37.9, "not febrile", 38.0, "febrile"),
        ("oxygen_saturation", "%", 92, "not hypoxic", 91, "hypoxic"),
        ("respiratory_rate", "/min", 24, None, 25, "tachypneic"),
        ("heart_rate", "/min", 110, None, 111, "tachycardic"),
        ("systolic_pressure", "mmHg", 90, None, 89, "hypotensive"),
        ("white_blood_cells", "10^9/L", 12, None, 12.1, "leukocytosis"),
        ("bnp", "pg/mL", 500, None, 501, "elevated BNP"),
        ("oxygen", "", 0, None, 1, "on oxygen"),
        ("intubated", "", 0, None, 1, "intubated"),
        ("trauma", "", 0, None, 1, "after trauma"),
    ]
    for name, unit, normal, absent, abnormal, word in cases:
        assert words(value(name, normal, unit), rules=shipped_rules()) == [absent] * bool(absent)
        assert words(value(name, abnormal, unit), rules=shipped_rules()) == [word]
    assert len(shipped_rules()) == len(cases)
    check_rules(shipped_rules())


def test_the_last_measured_value_counts() -> None:
    early, late = (
        value("temperature", number, "C", minutes_before=minutes)
        for number, minutes in ((39.0, 300), (36.9, 20))
    )
    undated = value("temperature", 39.5, "C")
    imputed = value("temperature", 39.5, "C", minutes_before=1, imputed=True, probability=0.8)
    for order in itertools.permutations((early, late, undated, imputed)):
        for use in (False, True):
            assert words(*order, rules=(FEVER,), imputed=use) == ["not febrile"]


def test_an_imputed_value_counts_by_choice_and_stays_marked() -> None:
    imputed = value("temperature", 39.5, "C", imputed=True, probability=0.8)
    assert not requested_context([imputed], [FEVER])
    (found,) = requested_context([imputed], [FEVER], imputed=True)
    assert found == value("febrile", 1, imputed=True, probability=0.8)


def test_requested_words_give_themselves() -> None:
    """A synthetic radiograph, which has only the words, has the same prompt."""
    found = STYLE.requested(RADIOGRAPH.context)
    assert found == (value("febrile", 1), value("hypoxic", 1), value("on oxygen", 1))
    assert STYLE.requested(found) == found
    assert prompt_of(replace(RADIOGRAPH, context=found), STYLE) == prompt_of(RADIOGRAPH, STYLE)


def test_a_value_in_another_unit_is_refused() -> None:
    fahrenheit = replace(RADIOGRAPH, context=(value("temperature", 101.5, "F"),))
    with pytest.raises(InputError, match=r"radiograph 'r1': .*'temperature' is in F, .* in C"):
        prompt_of(fahrenheit, STYLE)


def test_a_number_without_threshold_is_refused() -> None:
    with pytest.raises(InputError, match=r"'oxygen' is 4, .* no threshold"):
        requested_context([value("oxygen", 4)], [OXYGEN])


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"word": "febrile", "name": ""}, "no name"),
        ({"word": "febrile", "name": "t", "above": 38, "below": 40}, "2 thresholds"),
        ({"word": "febrile", "name": "t", "unit": "C"}, "unit and no threshold"),
        ({"word": "febrile, ill", "name": "t"}, "without commas"),
        ({"word": " febrile", "name": "t"}, "single spaces"),
        ({"word": "", "name": "t"}, "must be words"),
        ({"word": "12 years old", "name": "t"}, "must be words"),
        ({"word": "edema", "name": "t"}, "word of the patient or the findings"),
        ({"word": "Endotracheal Tube", "name": "t"}, "word of the patient or the findings"),
        ({"word": "severe", "name": "t"}, "word of the patient or the findings"),
        ({"word": "no", "name": "t"}, "word of the patient or the findings"),
        ({"word": "emphysema", "name": "t"}, "word of the patient or the findings"),
        ({"word": "patient in pain", "name": "t"}, "word of the patient or the findings"),
        ({"word": "with fever", "name": "t"}, "word of the patient or the findings"),
        ({"word": "febrile", "name": "t", "otherwise": "normal"}, "word of the patient or"),
    ],
)
def test_rules_that_cannot_be_used(rule: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ContextRule(**rule)


def test_rules_that_clash() -> None:
    with pytest.raises(InputError, match="two context rules write 'febrile'"):
        PromptStyle(context=True, context_rules=(FEVER, ContextRule(word="Febrile", name="fever")))
    same = ContextRule(word="ill", name="ill", otherwise="ill")
    with pytest.raises(InputError, match="two context rules write 'ill'"):
        PromptStyle(context=True, context_rules=(same,))
    joined = ContextRule(word="febrile on oxygen", name="both")
    with pytest.raises(InputError, match="'febrile on oxygen' reads as several others"):
        PromptStyle(context=True, context_rules=(FEVER, OXYGEN, joined))
    with pytest.raises(InputError, match=r"prompt\.context_rules .* need prompt\.context"):
        PromptStyle(context_rules=(FEVER,))


@pytest.mark.parametrize(
    "typed",
    [
        "63 year old woman, febrile, hypoxic on oxygen, small left pleural effusion",
        "63 year old woman Hypoxic, on oxygen, Febrile, with small left effusion",
        "63 year old woman; febrile hypoxic on oxygen with small left effusion",
    ],
)
def test_what_people_type(typed: str) -> None:
    content = parse_prompt(typed, shipped_rules())
    assert [v.name for v in content.context] == ["febrile", "hypoxic", "on oxygen"]
    assert content.findings == RADIOGRAPH.findings


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("febrile, febrile, edema", "'febrile' is given twice"),
        ("febrile, afebrile, edema", "'afebrile' is given twice in a prompt, or beside its opp"),
        ("febrile edema", "unknown word 'febrile'"),
        ("hypertensive, edema", "unknown word 'hypertensive'"),
    ],
)
def test_what_cannot_be_read(typed: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_prompt(typed, shipped_rules())


def test_words_by_hand() -> None:
    found = context_by_hand(["on oxygen", "Afebrile"], shipped_rules(), "prompts.context")
    assert found == (value("febrile", 0), value("on oxygen", 1))
    with pytest.raises(InputError, match=r"prompts\.context has the unknown word 'feverish'"):
        context_by_hand(["feverish"], shipped_rules(), "prompts.context")
    with pytest.raises(InputError, match=r"prompts\.context: 'afebrile' is given twice"):
        context_by_hand(["febrile", "afebrile"], shipped_rules(), "prompts.context")


def test_everything_is_read_back_exactly() -> None:
    rng = random.Random(0)
    findings = (
        Finding(name="Pneumonia", state="uncertain", side="left"),
        Finding(name="Edema", severity="small"),
        Finding(name="Pneumothorax", state="absent"),
    )
    rules = (*shipped_rules(), ContextRule(word="no known cancer", name="cancer", at_most=0.5))
    for _ in range(500):
        style = PromptStyle(
            context=True,
            context_rules=tuple(rng.sample(rules, rng.randint(1, len(rules)))),
            demographics=rng.random() < 0.5,
            form=rng.choice(["list", "sentence"]),
            view_token=rng.random() < 0.5,
        )
        answers = tuple(
            value(rule.word, float(rule.otherwise is None or rng.random() < 0.5))
            for rule in style.context_rules
            if rng.random() < 0.6
        )
        radiograph = replace(
            RADIOGRAPH,
            context=answers,
            age=rng.choice([None, 5, 63]),
            sex=rng.choice([None, "F", "M"]),
            findings=tuple(rng.sample(findings, rng.randint(0, 3))),
        )
        prompt = prompt_of(radiograph, style)
        content = parse_prompt(prompt, style.context_rules)
        assert content.context == answers, prompt
        assert set(content.findings) == set(radiograph.findings), prompt
        if style.demographics:
            assert (content.age, content.sex) == (radiograph.age, radiograph.sex), prompt
