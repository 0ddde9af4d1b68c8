"""Training record: views and forms of text that a model has never seen."""

from typing import Any

import pytest

from roentgen.diffusion.training_record import TrainingPrompts, text_form, training_prompts
from roentgen.prompts.grammar import PromptStyle

SEEN = TrainingPrompts(views=frozenset({"PA"}), text_forms=frozenset({"impression"}))


def test_only_what_was_never_seen_is_noted() -> None:
    impression, findings = PromptStyle(text="impression"), PromptStyle()
    assert SEEN.never_seen("m", {"PA"}, impression) == []
    assert SEEN.never_seen("m", (), None) == []
    view, form = SEEN.never_seen("m", {"PA", "LATERAL", "AP"}, findings)
    assert view.startswith("no prompt in the training of m named the view AP or LATERAL:")
    assert "had the form 'findings as a list' (they had: impression)" in form


@pytest.mark.parametrize(
    ("style", "form"),
    [
        (PromptStyle(), "findings as a list"),
        (PromptStyle(text="entities"), "findings as a list"),
        (PromptStyle(form="sentence"), "findings as a sentence"),
        (PromptStyle(text="impression", form="sentence"), "impression"),
        (PromptStyle(text="none"), "no text"),
    ],
)
def test_forms_are_what_the_text_encoder_can_tell_apart(style: PromptStyle, form: str) -> None:
    assert text_form(style) == form


def test_a_record_is_read_as_it_was_written() -> None:
    assert training_prompts({"provenance": {"training_prompts": SEEN.to_json()}}) == SEEN


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, None),
        ({"prompt": {"text": "impression"}}, None),  # its views are not recorded
        (
            {"prompt": {"text": "impression", "view_token": False}},
            TrainingPrompts(text_forms=frozenset({"impression"})),
        ),
    ],
)
def test_without_a_record_only_what_is_certain_is_known(
    config: dict[str, Any], expected: TrainingPrompts | None
) -> None:
    assert training_prompts({"provenance": {"config": config}}) == expected
    assert training_prompts({}) is None
