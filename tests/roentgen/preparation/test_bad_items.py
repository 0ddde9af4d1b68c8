"""How reasons are counted by their kind."""

from roentgen.preparation.bad_items import Reasons


def test_reasons_of_one_kind_are_counted_together() -> None:
    reasons = Reasons(
        [
            *("1.png is empty (0 bytes)", "1.2.826.0.77 is empty (0 bytes)"),
            "a.png cannot be decoded: image file is truncated (12 bytes not processed)",
            "b.png cannot be decoded: image file is truncated (7 bytes not processed)",
            *(f"cannot read image {n}.png: No such file or directory" for n in (1, 2)),
            *(f"the official split does not contain patient '{n}'" for n in (1, 2, 3)),
            *("unknown view 'LAO'", "unknown view 'LAO'", "unknown view 'ODD'"),
            "c.png has no contrast",
        ]
    )
    assert reasons.total() == 13
    assert reasons.counts() == {
        "file is empty (0 bytes)": 2,
        "file cannot be decoded: image file is truncated (... bytes not processed)": 2,
        "cannot read image ...: No such file or directory": 2,
        "the official split does not contain patient ...": 3,
        "unknown view 'LAO'": 2,
        "unknown view 'ODD'": 1,
        "c.png has no contrast": 1,
    }
