from typing import Any

import pytest

from roentgen.graphs.extents import Attribute, extents_of
from roentgen.record.statement import Extent

KINDS: dict[str, tuple[Any, str]] = {
    "right": ("side", "right"),
    "left": ("side", "left"),
    "bilateral": ("side", "bilateral"),
    "small": ("severity", "small"),
    "moderate": ("severity", "moderate"),
    "large": ("severity", "large"),
    "upper": ("place", "upper lobe"),
    "middle": ("place", "middle lobe"),
    "lower": ("place", "lower lobe"),
    "lobe": ("place", "lobe"),
    "basal": ("place", "basal"),
}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", [Extent()]),
        ("small", [Extent(None, "small")]),
        ("moderate small", [Extent(None, "small")]),
        ("small left", [Extent("left", "small")]),
        ("left small", [Extent("left", "small")]),
        ("bilateral small", [Extent("left", "small"), Extent("right", "small")]),
        ("small bilateral", [Extent("left", "small"), Extent("right", "small")]),
        ("moderate right small left", [Extent("right", "moderate"), Extent("left", "small")]),
        ("right moderate left small", [Extent("right", "moderate"), Extent("left", "small")]),
        ("small right left", [Extent("right", "small"), Extent("left", "small")]),
        ("right left small", [Extent("right", "small"), Extent("left", "small")]),
        ("right small left", [Extent("right"), Extent("left", "small")]),
        ("lower", [Extent(None, None, ("lower lobe",))]),
        ("lower lobe", [Extent(None, None, ("lower lobe",))]),
        ("left lower", [Extent("left", None, ("lower lobe",))]),
        (
            "right upper left lower",
            [Extent("right", None, ("upper lobe",)), Extent("left", None, ("lower lobe",))],
        ),
        (
            "upper right lower left",
            [Extent("right", None, ("upper lobe",)), Extent("left", None, ("lower lobe",))],
        ),
        (
            "right left lower",
            [Extent("right", None, ("lower lobe",)), Extent("left", None, ("lower lobe",))],
        ),
        (
            "right middle lower left lower",
            [
                Extent("right", None, ("middle lobe", "lower lobe")),
                Extent("left", None, ("lower lobe",)),
            ],
        ),
        (
            "basal right left",
            [Extent("right", None, ("basal",)), Extent("left", None, ("basal",))],
        ),
        (
            "large right upper small left lower",
            [Extent("right", "large", ("upper lobe",)), Extent("left", "small", ("lower lobe",))],
        ),
        ("left left right", [Extent("left"), Extent("right")]),
        ("left bilateral", [Extent("left"), Extent("right")]),
        ("small left large bilateral", [Extent("left", "small"), Extent("right", "large")]),
        ("bilateral left", [Extent("left"), Extent("right")]),
    ],
)
def test_sides_have_their_own_severities_and_places(words: str, expected: list[Extent]) -> None:
    attributes = [Attribute(i, *KINDS[word]) for i, word in enumerate(words.split())]
    assert extents_of(reversed(attributes)) == tuple(expected)
