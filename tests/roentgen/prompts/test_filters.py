"""Filters with a name, and lengths in tokens."""

from collections import Counter
from dataclasses import replace

import pytest

from roentgen.errors import InputError
from roentgen.preparation.postprocess import token_length
from roentgen.prompts.filters import RadiographFilter
from roentgen.prompts.grammar import PromptStyle, prompt_of
from roentgen.prompts.token_lengths import TokenLengths
from roentgen.record.finding import Finding
from roentgen.record.radiograph import Radiograph, Report

RADIOGRAPH = Radiograph(
    id="r1",
    patient_id="p1",
    study_id="s1",
    split="train",
    image=b"",
    view="PA",
    findings=(Finding(name="Edema"),),
    report=Report(impression="Mild edema."),
    age=63,
    sex="F",
    race="white",
    source="test",
    license="CC0-1.0",
)


def count(text: str) -> int:
    """Words, begin and end."""
    return len(text.split()) + 2


@pytest.mark.parametrize("preset", ["roentgen", "roentgen_v2"])
def test_what_a_preset_refuses(preset: str) -> None:
    rules = RadiographFilter(preset=preset)  # type: ignore[arg-type]
    assert rules.exclusion_reason(RADIOGRAPH, count) is None

    def reason(**changes: object) -> str | None:
        return rules.exclusion_reason(replace(RADIOGRAPH, **changes), count)  # type: ignore[arg-type]

    assert reason(view="AP") == "view is AP, not PA"
    assert reason(view=None) == "view is unknown, not PA"
    assert reason(report=None) == "report has no impression"
    assert reason(report=Report(findings="Edema.")) == "report has no impression"
    assert reason(report=Report(impression="Edema")) == ("impression is shorter than 7 characters")
    assert reason(report=Report(impression="Normal.")) is None
    assert reason(report=Report(impression="a " * 76)) == "prompt is longer than 77 tokens"
    fits = Report(impression="a " * 75)
    v2 = preset == "roentgen_v2"
    assert reason(report=fits) == ("prompt is longer than 77 tokens" if v2 else None)
    for name in ("age", "sex", "race"):
        assert reason(**{name: None}) == (f"{name} is unknown" if v2 else None)


def test_findings_keep_radiographs_with_at_least_one_of_them_present() -> None:
    rules = RadiographFilter(findings=("Edema", "Pneumothorax"))

    def reason(*findings: Finding) -> str | None:
        return rules.exclusion_reason(replace(RADIOGRAPH, findings=findings), count)

    effusion = Finding(name="Pleural Effusion")
    assert reason(effusion, Finding(name="Edema")) is None
    assert reason(effusion) == reason() == "Edema or Pneumothorax is not present"
    for state in ("absent", "uncertain"):
        assert reason(Finding(name="Edema", state=state)) == reason()


def test_the_prompt_of_roentgen_v2() -> None:
    style = RadiographFilter(preset="roentgen_v2").prompt
    assert style is not None
    assert prompt_of(RADIOGRAPH, style) == "63 year old white female. Mild edema."


def test_own_rules_come_before_the_presets() -> None:
    rules = RadiographFilter(preset="roentgen", views=("PA", "AP"), min_characters=3)
    assert (rules.views, rules.min_characters, rules.max_tokens) == (("PA", "AP"), 3, 77)
    assert rules.exclusion_reason(replace(RADIOGRAPH, view="AP"), count) is None


def test_the_runs_own_prompts_are_counted_where_they_are_given() -> None:
    rules = RadiographFilter(preset="roentgen", max_tokens=4)
    styles = (PromptStyle(text="impression"),)  # with the view token
    assert rules.exclusion_reason(RADIOGRAPH, count) is None
    assert rules.exclusion_reason(RADIOGRAPH, count, styles) == "prompt is longer than 4 tokens"
    missing = (PromptStyle(text="report_findings"),)
    assert rules.exclusion_reason(RADIOGRAPH, count, missing) == (
        "there is no text for a prompt of report_findings"
    )


def test_without_a_prompt_the_section_is_counted() -> None:
    rules = RadiographFilter(section="impression", max_tokens=3)
    assert rules.exclusion_reason(RADIOGRAPH, count) == "impression is longer than 3 tokens"
    assert RadiographFilter().exclusion_reason(RADIOGRAPH, count) is None


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"preset": "v3"}, "unknown preset 'v3'; choose one of: roentgen, roentgen_v2"),
        ({"views": ("SIDE",)}, "unknown view 'SIDE'"),
        ({"section": "history"}, "unknown section"),
        ({"known": ("name",)}, "unknown known 'name'"),
        ({"max_tokens": 0, "section": "findings"}, "max_tokens is 0"),
        ({"findings": ("Oedema",)}, "'Oedema'"),
        ({"max_tokens": 77}, "needs section or prompt"),
        ({"min_characters": 7}, "needs section"),
    ],
)
def test_rules_that_cannot_be(rules: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        RadiographFilter(**rules)  # type: ignore[arg-type]


def test_the_share_beyond_the_limit() -> None:
    lengths = TokenLengths()
    for tokens in (5, 77, 78, 100):
        lengths.add(tokens)
    assert (lengths.texts, lengths.beyond, lengths.share_beyond) == (4, 2, 0.5)
    assert lengths.summary() == "median 77, longest 100 tokens; 2 of 4 (50.0%) beyond 77"
    parts = TokenLengths()
    parts.update(TokenLengths(counts=Counter({78: 1, 5: 1})))
    parts.update(TokenLengths(counts=Counter({100: 1, 77: 1})))
    assert parts == lengths
    assert TokenLengths().summary() == "median 0, longest 0 tokens; 0 of 0 (0.0%) beyond 77"


def test_tokens_are_counted_as_the_model_does() -> None:
    assert [token_length(text) for text in ("", "edema", "<view-pa>", "<view-pa> edema")] == [
        2,
        4,
        3,
        5,
    ]
    assert token_length("word " * 75) == 77
