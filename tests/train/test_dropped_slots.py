"""Slots of prompts that are withheld from a share of the items."""

from pathlib import Path

import pytest

from roentgen.config import config_from_dict, config_to_dict
from roentgen.errors import InputError
from roentgen.prompts.grammar import PromptStyle
from train.config import FinetuneConfig
from train.config_sections import DataConfig, ObjectiveConfig, WeightedStyle

CONTEXT = PromptStyle(context=True)
PLAIN = PromptStyle()


def config(objective: ObjectiveConfig, *styles: WeightedStyle) -> FinetuneConfig:
    return FinetuneConfig(
        base="tiny",
        data=DataConfig(folder=Path("data")),
        output=Path("run"),
        steps=1,
        batch_size=1,
        objective=objective,
        styles=styles,
    )


def test_a_share_of_each_style_lacks_the_context() -> None:
    styles = (
        WeightedStyle(style=PromptStyle(context=True, demographics=True), weight=3.0),
        WeightedStyle(style=PromptStyle(text="none"), weight=2.0),
    )
    found = config(ObjectiveConfig(context_dropout=0.25), *styles).drawn_styles()
    assert [(entry.style, entry.weight) for entry in found] == [
        (PromptStyle(context=True, demographics=True), 2.25),
        (PromptStyle(demographics=True), 0.75),
        (PromptStyle(text="none"), 2.0),
    ]


def test_without_dropout_the_mixture_is_drawn_as_it_is() -> None:
    styles = (WeightedStyle(style=CONTEXT, weight=0.1), WeightedStyle(style=PLAIN, weight=0.3))
    assert config(ObjectiveConfig(), *styles).drawn_styles() == styles


def test_a_dropout_of_what_no_prompt_has_is_refused() -> None:
    with pytest.raises(InputError, match=r"objective\.context_dropout is 0\.1, but prompts have"):
        config(ObjectiveConfig(context_dropout=0.1), WeightedStyle(style=PLAIN))
    with pytest.raises(InputError, match=r"objective\.context_dropout is 1.* below 1"):
        ObjectiveConfig(context_dropout=1.0)


def test_a_configuration_with_rules_is_read_from_its_record() -> None:
    written = config(ObjectiveConfig(context_dropout=0.1), WeightedStyle(style=CONTEXT))
    assert config_from_dict(FinetuneConfig, config_to_dict(written)) == written
