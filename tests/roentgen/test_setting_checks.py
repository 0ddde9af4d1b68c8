import re
from dataclasses import dataclass, replace
from typing import Any

import pytest

from roentgen.errors import InputError, require, require_choice, require_distinct, require_range


@dataclass(frozen=True)
class Settings:
    steps: int | None = 3
    share: float = 0.5
    names: tuple[str, ...] | None = ("a", "b")
    scales: tuple[float | None, ...] = (None, 1.5)


def refused(message: str, check: Any, *arguments: Any, **bounds: Any) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        check(*arguments, **bounds)


def test_a_number_out_of_range_is_named_with_its_bounds() -> None:
    good = Settings()
    require_range(good, "run.steps", at_least=3, at_most=3)
    require_range(good, "share", above=0, below=1)
    refused("run.steps is 3: it must be at least 4", require_range, good, "run.steps", at_least=4)
    refused("share is 0.5: it must be above 0.5", require_range, good, "share", above=0.5)
    refused("share is 0.5: it must be below 0.5", require_range, good, "share", below=0.5)
    bounds = {"above": 0, "at_most": 0.4, "note": "or null"}
    message = "share is 0.5: it must be above 0 and at most 0.4, or null"
    refused(message, require_range, replace(good, steps=None), "steps", "share", **bounds)


def test_what_is_not_a_number_is_in_no_range() -> None:
    refused(
        "share is nan: it must be above 0",
        require_range,
        replace(Settings(), share=float("nan")),
        "share",
        above=0,
    )


def test_null_is_not_checked() -> None:
    require_range(replace(Settings(), steps=None), "steps", at_least=1)
    require_distinct(replace(Settings(), names=None), "names")


def test_every_number_of_a_list_is_checked() -> None:
    require_range(Settings(), "a.scales", above=1)
    message = "a.scales is [None, 1.5]: each must be above 2"
    refused(message, require_range, Settings(), "a.scales", above=2)


def test_a_list_has_values_and_each_once() -> None:
    require_distinct(Settings(), "a.names")
    empty, repeated = replace(Settings(), names=()), replace(Settings(), names=("b", "a", "b"))
    refused("names is empty: give at least one", require_distinct, empty, "names")
    message = "a.names is empty: give at least one, or null for all"
    refused(message, require_distinct, empty, "a.names", note="or null for all")
    refused("a.names has 'b' twice: give each once", require_distinct, repeated, "a.names")


def test_conditions_and_choices() -> None:
    require(True, "never")
    refused("x excludes y", require, False, "x excludes y")
    require_choice("view", "PA", ("PA", "AP"))
    refused("unknown view 'LL'; choose one of: PA, AP", require_choice, "view", "LL", ("PA", "AP"))
