"""Training scope: what prompts state, and the notes on what a model was never trained on."""

from typing import Any

import pytest

from roentgen.generation.prompt_rows import (
    PromptRow,
    row_from_radiograph,
    rows_from_findings,
    rows_from_text,
)
from roentgen.generation.training_scope import (
    ScopeCheck,
    Statement,
    TrainingScope,
    TrainingStage,
    base_stages,
    stated,
    text_form,
    training_scope,
)
from roentgen.prompts.grammar import PromptStyle
from roentgen.record.finding import Finding
from roentgen.record.radiograph import Radiograph, Report

LIST = PromptStyle(demographics=True)
FRONTAL = TrainingStage.of(
    1156,
    {
        ("view", "PA"): 812,
        ("view", "AP"): 344,
        ("text_form", "a list of findings"): 1156,
        ("finding", "Edema"): 300,
        ("finding", "Fracture"): 3,
        ("side", "left Edema"): 40,
        ("sex", "F"): 500,
        ("sex", "M"): 656,
        ("age", "60-69 years"): 1156,
    },
)
REPORTS = TrainingStage.of(
    400,
    {
        ("text_form", "a report's impression"): 400,
        ("language", "Spanish"): 350,
        ("view", "PA"): 400,
    },
)


def typed(text: str, style: PromptStyle = LIST) -> PromptRow:
    (row,) = rows_from_findings(text, style, (None,), "")
    return row


def notes(
    scope: TrainingScope | None, rows: list[PromptRow], style: PromptStyle | None = LIST
) -> list[str]:
    check = ScopeCheck(scope, style)
    for row in rows:
        check.add(row)
    return check.notes("m")


def radiograph(**changes: Any) -> Radiograph:
    settings: dict[str, Any] = {"view": "AP", "age": 93.0, "sex": "F"}
    settings["findings"] = (
        Finding(name="Edema", side="left", severity="small"),
        Finding(name="Fracture", state="absent", side="right"),
    )
    settings["report"] = Report(impression="Small edema of the left lung, without a fracture.")
    settings |= dict.fromkeys(("id", "patient_id", "study_id", "source", "license"), "a")
    return Radiograph(split="train", image=b"", **(settings | changes))


def test_what_a_prompt_states() -> None:
    row = typed("<view-ap> 63 year old woman, small left effusion, no edema, possible nodule")
    assert set(stated(row, LIST)) == {
        ("view", "AP"),
        ("age", "60-69 years"),
        ("sex", "F"),
        ("finding", "Pleural Effusion"),
        ("side", "left Pleural Effusion"),
        ("severity", "small Pleural Effusion"),
        ("finding", "Edema absent"),
        ("finding", "Lung Lesion uncertain"),
        ("text_form", "a list of findings"),
    }


@pytest.mark.parametrize(
    ("style", "differs"),
    [
        (LIST, set()),
        (PromptStyle(demographics=True, view_token=False), {("view", "AP")}),
        (PromptStyle(), {("age", "90 years or more"), ("sex", "F")}),
        (PromptStyle(demographics=True, mention_absent=False), {("finding", "Fracture absent")}),
        (
            PromptStyle(demographics=True, text="impression"),
            {
                ("text_form", "a list of findings"),
                ("text_form", "a report's impression"),
                ("language", "English"),
            },
        ),
        (
            PromptStyle(demographics=True, text="entities"),
            {("severity", "small Edema"), ("side", "left Edema")},
        ),
    ],
)
def test_a_radiographs_prompt_states_what_its_style_includes(
    style: PromptStyle, differs: set[Statement]
) -> None:
    everything = {
        ("view", "AP"),
        ("age", "90 years or more"),
        ("sex", "F"),
        ("finding", "Edema"),
        ("side", "left Edema"),
        ("severity", "small Edema"),
        ("finding", "Fracture absent"),
        ("text_form", "a list of findings"),
    }
    report = Report(impression="Edema. No fracture.") if style.text == "entities" else None
    item = radiograph(report=report) if report else radiograph()
    assert set(stated(row_from_radiograph(item, style), style)) ^ everything == differs


def test_facts_state_findings_beyond_the_14_names() -> None:
    report = Report(impression="Emphysema, mild edema. No scoliosis. Possible fracture.")
    style = PromptStyle(text="facts", mention_uncertain=False)
    row = row_from_radiograph(radiograph(report=report), style)
    assert row.prompt == "<view-ap> emphysema, mild edema, no scoliosis"
    assert set(stated(row, style)) == {
        ("view", "AP"),
        ("finding", "emphysema"),
        ("finding", "scoliosis absent"),
        ("finding", "Edema"),
        ("severity", "small Edema"),
        ("text_form", "a list of findings"),
    }


def test_findings_beyond_the_14_names_are_stated() -> None:
    expected = {("finding", "Edema"), ("finding", "emphysema"), ("finding", "goiter absent")}
    words = "edema, emphysema, no goiter"
    form = {("text_form", "a list of findings")}
    assert set(stated(typed(words), LIST)) == expected | form
    assert set(stated(next(rows_from_text(words, LIST, (None,), "")), None)) == expected


def test_free_words_of_the_grammar_are_findings() -> None:
    rows = rows_from_text("small left effusion", LIST, (None,), "")
    assert set(stated(next(rows), None)) == {
        ("finding", "Pleural Effusion"),
        ("side", "left Pleural Effusion"),
        ("severity", "small Pleural Effusion"),
    }
    rows = rows_from_text("Worse: the effusion is larger", LIST, ("PA",), "")
    expected = {("view", "PA"), ("text_form", "free text"), ("language", "English")}
    assert set(stated(next(rows), None)) == expected


@pytest.mark.parametrize(
    ("style", "form"),
    [
        (PromptStyle(), "a list of findings"),
        (PromptStyle(text="entities"), "a list of findings"),
        (PromptStyle(text="facts"), "a list of findings"),
        (PromptStyle(form="sentence"), "a sentence of findings"),
        (PromptStyle(text="impression", form="sentence"), "a report's impression"),
        (PromptStyle(text="none"), "no text"),
    ],
)
def test_forms_are_what_the_text_encoder_can_tell_apart(style: PromptStyle, form: str) -> None:
    assert text_form(style) == form


def test_a_view_never_seen_is_one_line_with_counts() -> None:
    rows = [typed("<view-lateral> edema")] * 16
    assert notes(TrainingScope((FRONTAL,)), rows) == [
        "16 of 16 prompts ask for the view LATERAL, which the model never saw (it was trained on "
        "PA 812, AP 344)"
    ]
    assert notes(TrainingScope((FRONTAL,)), [typed("<view-pa> left edema")]) == []


def test_each_kind_has_its_line_and_a_new_finding_hides_its_sides() -> None:
    rows = [
        typed("right edema"),
        typed("small left effusion, fracture"),
        typed("8 year old boy, right pneumothorax, no edema"),
        typed("edema"),
    ]
    found = notes(TrainingScope((FRONTAL,)), rows, PromptStyle(form="sentence"))
    assert found == [
        "2 of 4 prompts ask for the findings Edema absent 1, Pleural Effusion 1, Pneumothorax 1, "
        "which the model never saw (it was trained on Edema 300, Fracture 3)",
        "1 of 4 prompts ask for the finding Fracture, which the model saw in fewer than 20 "
        "training images (Fracture 3)",
        "1 of 4 prompts ask for right Edema, which the model never saw (it was trained on left "
        "Edema 40)",
        "1 of 4 prompts state the age 0-9 years, which the model never saw (it was trained on "
        "60-69 years 1156)",
        "4 of 4 prompts consist of a sentence of findings, which the model never saw (it was "
        "trained on a list of findings 1156)",
    ]


@pytest.mark.parametrize(("images", "noted"), [(19, True), (20, False)])
def test_fewer_than_20_images_are_rare(images: int, noted: bool) -> None:
    stage = TrainingStage.of(30, {("view", "AP"): images})
    found = notes(TrainingScope((stage,)), [PromptRow(prompt="", view="AP")], None)
    assert any("view AP" in note for note in found) == noted


def test_free_text_is_a_report_and_has_its_language() -> None:
    english = "There is a new opacity in the left lung"
    (row,) = rows_from_text(english, PromptStyle(), ("PA",), "")
    scope = TrainingScope((REPORTS,))
    assert notes(scope, [row], None) == [
        "1 of 1 prompts are in English, which the model never saw (it was trained on Spanish 350)"
    ]
    (form,) = notes(TrainingScope((FRONTAL,)), [row], None)
    assert form.startswith("1 of 1 prompts consist of free text, which the model never")


def test_a_base_counts_as_the_base() -> None:
    base = {"provenance": {"training_prompts": TrainingScope((FRONTAL,)).to_json()}}
    lateral = TrainingStage.of(
        50, {("view", "LATERAL"): 50, ("view", "AP"): 2, ("text_form", "a list of findings"): 50}
    )
    scope = TrainingScope((lateral, *base_stages("runs/frontal/model", base)))
    read = training_scope({"provenance": {"training_prompts": scope.to_json()}})
    assert read == scope
    rows = [PromptRow(prompt="a", view="PA"), PromptRow(prompt="b", view="LATERAL")]
    assert notes(read, rows) == [
        "1 of 2 prompts ask for the view PA, which the model saw in the training of its base, not "
        "or rarely in its own (runs/frontal/model: PA 812; its own: LATERAL 50, AP 2)"
    ]
    # Named once more by a model that is made from this one.
    third = base_stages("runs/lateral/model", {"provenance": {"training_prompts": scope.to_json()}})
    assert [stage.model for stage in third] == ["runs/lateral/model", "runs/frontal/model"]

    # Several bases are counted together, by the name of the last.
    wide = TrainingStage.of(10, {("view", "PA"): 5, ("view", "AP"): 10})
    prompts = TrainingScope((wide, *scope.stages[1:])).to_json()
    bases = base_stages("wide", {"provenance": {"training_prompts": prompts}})
    (note,) = notes(TrainingScope((lateral, *bases)), rows)
    assert "(wide and its bases: PA 817; its own: " in note


@pytest.mark.parametrize(
    "provenance",
    [{}, *({"training_prompts": odd} for odd in ([], 3, {"views": ["PA"]}, [{"stated": 1}]))],
)
def test_what_is_not_recorded_is_unknown_and_said_once(provenance: dict[str, Any]) -> None:
    foreign = {"provenance": provenance}
    assert training_scope(foreign) is None
    (note,) = notes(None, [typed("<view-lateral> edema")])
    assert note.startswith("what m was trained on is not recorded: ")
    scope = TrainingScope((FRONTAL, *base_stages("sd15", foreign)))
    assert notes(scope, [typed("edema")]) == []
    view, base = notes(scope, [typed("<view-lateral> edema")])
    assert "never saw" in view
    assert base == "what its base sd15 saw is not recorded"


def test_a_base_with_a_trained_vae_alone_has_read_no_prompts() -> None:
    base = {"provenance": {"program": "train.autoencoder", "training_data": {}}}
    scope = TrainingScope((FRONTAL, *base_stages("runs/base/untrained", base)))
    assert scope.stages == (FRONTAL,)
    (note,) = notes(scope, [typed("<view-lateral> edema")])
    assert "never saw" in note


def test_words_of_the_context_are_counted() -> None:
    style = PromptStyle(context=True)
    (row,) = rows_from_findings("afebrile, hypoxic on oxygen, edema", style, (None,), "")
    found = [value for kind, value in stated(row, style) if kind == "context"]
    assert found == ["not febrile", "hypoxic", "on oxygen"]
    stage = TrainingStage.of(30, {("context", "hypoxic"): 30, ("finding", "Edema"): 30})
    (note,) = notes(TrainingScope((stage,)), [row, row], None)[:1]
    assert note.startswith("2 of 2 prompts state not febrile 2, on oxygen 2, which the model never")
