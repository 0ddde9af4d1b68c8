"""Captions of pictures."""

import pytest

from roentgen.prompts.captions import prompt_caption, radiograph_caption
from roentgen.record.finding import Finding
from roentgen.record.radiograph import Radiograph, View

EFFUSION = Finding(name="Pleural Effusion", side="left")
DOUBT = Finding(name="Pneumonia", state="uncertain")
ABSENT = Finding(name="Edema", state="absent")


@pytest.mark.parametrize(
    ("prompt", "caption"),
    [
        ("<view-pa> 63 year old woman, no edema", "PA: 63 year old woman, no edema"),
        ("<VIEW-LATERAL> mass", "lateral: mass"),
        ("small effusion <view-ap>", "small effusion AP"),
        ("<view-ap>", "AP"),
        ("Heart is enlarged. No effusion.", "Heart is enlarged. No effusion."),
        ("<view-oblique> mass", "<view-oblique> mass"),
        ("", ""),
    ],
)
def test_a_caption_names_the_view_in_letters(prompt: str, caption: str) -> None:
    assert prompt_caption(prompt) == caption


@pytest.mark.parametrize(
    ("view", "age", "findings", "caption"),
    [
        (
            "AP",
            None,
            (EFFUSION, DOUBT, ABSENT),
            "AP: left pleural effusion, possible pneumonia",
        ),
        ("AP", None, (DOUBT, ABSENT), "AP: possible pneumonia"),
        ("LATERAL", 63, (ABSENT,), "lateral: 63 year old patient, no edema"),
        ("AP", None, (), "AP, findings unknown"),
        (None, None, (), "findings unknown"),
    ],
)
def test_findings_present_or_uncertain_come_first(
    view: View | None, age: float | None, findings: tuple[Finding, ...], caption: str
) -> None:
    radiograph = Radiograph(
        id="a",
        patient_id="a",
        study_id="a",
        split="train",
        image=b"",
        view=view,
        age=age,
        findings=findings,
        source="test",
        license="CC0-1.0",
    )
    assert radiograph_caption(radiograph) == caption
