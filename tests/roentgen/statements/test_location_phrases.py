import pytest

from roentgen.record.statement import Extent
from roentgen.statements.hierarchy import places
from roentgen.statements.location_phrases import _WORDS, read_phrases, write_phrases


@pytest.mark.parametrize(
    ("phrases", "expected"),
    [
        ("", [Extent()]),
        ("left", [Extent("left")]),
        ("bilateral", [Extent("left"), Extent("right")]),
        ("Right;left", [Extent("left"), Extent("right")]),
        ("left lower lobe", [Extent("left", None, ("lower lobe",))]),
        ("right;lower lobe", [Extent("right", None, ("lower lobe",))]),
        ("in the right upper lung zone", [Extent("right", None, ("upper zone",))]),
        ("mid", [Extent(None, None, ("mid zone",))]),
        ("at the left base", [Extent("left", None, ("basal",))]),
        ("bibasilar", [Extent("left", None, ("basal",)), Extent("right", None, ("basal",))]),
        ("both apices", [Extent("left", None, ("apical",)), Extent("right", None, ("apical",))]),
        ("retrocardiac", [Extent("left", None, ("retrocardiac",))]),
        (
            "left lower lobe;right",
            [Extent("left", None, ("lower lobe",)), Extent("right")],
        ),
        (
            "bilateral;perihilar",
            [Extent("left", None, ("perihilar",)), Extent("right", None, ("perihilar",))],
        ),
        ("left posterior 7th rib", [Extent("left", None, ("posterior", "seventh rib", "rib"))]),
        ("tip above the carina", [Extent(None, None, ("trachea",))]),
        ("low svc", [Extent(None, None, ("superior vena cava",))]),
        ("posterolateral", [Extent(None, None, ("posterior", "lateral"))]),
    ],
)
def test_phrases_are_read(phrases: str, expected: list[Extent]) -> None:
    assert read_phrases(phrases.split(";")) == (tuple(expected), ("",) if not phrases else ())


def test_phrases_without_side_or_place_are_listed() -> None:
    assert read_phrases(["left", "somewhere", "near the port"]) == (
        (Extent("left"),),
        ("somewhere", "near the port"),
    )


def test_every_place_is_written_and_read_back() -> None:
    one_sided = {"retrocardiac": "left", "lingula": "left"}
    for name in places():
        for side in ("left", "right") if name not in one_sided else ("left",):
            extents = (Extent(side, None, (name,)),)
            assert read_phrases(write_phrases(extents)) == (extents, ()), name
        if name not in one_sided:
            assert read_phrases([name]) == ((Extent(None, None, (name,)),), ())
    known = {"left", "right", *places()}
    assert {name for names in _WORDS for name in names.split(", ")} <= known


def test_sides_and_places_become_phrases() -> None:
    extents = (Extent("left", "small", ("upper lobe", "apical")), Extent("right", "large"))
    assert write_phrases(extents) == ("left upper lobe", "left apical", "right")
    assert write_phrases([Extent()]) == ()
