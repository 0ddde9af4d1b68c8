from collections import Counter

import numpy as np

from eval.networks import Regime, hold_out, regimes, trainings
from eval.subgroups import groups_of, names_of
from roentgen.record.radiograph import Radiograph

PATIENTS = [f"p{i // 3}" for i in range(300)]  # 100 patients with 3 films each


def test_regimes_are_all_combinations_and_named() -> None:
    wanted = regimes(("synthetic", "mixed", "pretrained"), (30, None), (1, None))
    assert [regime.name for regime in wanted] == [
        "radiographs",
        "1x synthetic",
        "all synthetic",
        "radiographs + 1x synthetic",
        "radiographs + all synthetic",
        "1x synthetic, then radiographs",
        "all synthetic, then radiographs",
        "30 radiographs",
        "30 radiographs + 1x synthetic",
        "30 radiographs + all synthetic",
        "1x synthetic, then 30 radiographs",
        "all synthetic, then 30 radiographs",
    ]
    assert Regime(kind="mixed", radiographs=3, multiple=2).base.name == "3 radiographs"
    counts = [regime.radiographs for regime in regimes((), (3, None, 100, 30), ())]
    assert counts == [None, 100, 30, 3]


def test_validation_takes_whole_patients() -> None:
    held_out, rest = hold_out(PATIENTS, 0.2, seed=0)
    assert len(held_out) == 60
    assert sorted([*held_out, *rest]) == list(range(300))
    assert not {PATIENTS[i] for i in held_out} & {PATIENTS[i] for i in rest}


def test_radiographs_are_sampled_by_patient_nested_and_the_same_in_all_regimes_of_a_seed() -> None:
    wanted = regimes(("synthetic", "mixed", "pretrained"), (4, 30, None), (2,))
    every, not_measured = trainings(wanted, (0, 1), PATIENTS, 600)
    assert not not_measured
    at = {(t.regime.name, t.seed): t for t in every}
    few, more = at["4 radiographs", 0], at["30 radiographs", 0]
    assert (len(few.real), len(more.real), len(at["radiographs", 0].real)) == (4, 30, 300)
    assert len({PATIENTS[i] for i in more.real}) == 10
    # One patient's three radiographs, and the first one of another.
    assert sorted(Counter(PATIENTS[i] for i in few.real).values()) == [1, 3]
    assert set(few.real) <= set(more.real)
    np.testing.assert_array_equal(at["30 radiographs + 2x synthetic", 0].real, more.real)
    mixed = at["30 radiographs + 2x synthetic", 0].synthetic
    assert len(mixed) == 60
    assert set(mixed) <= set(at["2x synthetic", 0].synthetic)
    assert len(at["2x synthetic", 0].synthetic) == 600
    assert len(at["2x synthetic", 0].real) == 0
    assert not np.array_equal(at["30 radiographs", 1].real, more.real)
    assert not np.array_equal(at["30 radiographs + 2x synthetic", 1].synthetic, mixed)
    again, _ = trainings(wanted, (0, 1), PATIENTS, 600)
    for a, b in zip(every, again, strict=True):
        np.testing.assert_array_equal(a.real, b.real)
        np.testing.assert_array_equal(a.synthetic, b.synthetic)


def test_too_few_images_are_stated_not_made_up_for() -> None:
    wanted = regimes(("mixed",), (30, 301, None), (1, 2, None))
    every, not_measured = trainings(wanted, (0,), PATIENTS, 450)
    assert {regime.name: missing.reason for regime, missing in not_measured.items()} == {
        "radiographs + 2x synthetic": "600 synthetic images are needed, there are 450",
        **dict.fromkeys(
            (
                "301 radiographs",
                "301 radiographs + 1x synthetic",
                "301 radiographs + 2x synthetic",
                "301 radiographs + all synthetic",
            ),
            "301 radiographs are needed, there are 300",
        ),
    }
    assert "radiographs + 2x synthetic" not in {t.regime.name for t in every}
    assert len(every) == 7


def test_groups() -> None:
    def film(age: float | None, sex: str | None) -> Radiograph:
        return Radiograph(
            id="a",
            patient_id="a",
            study_id="a",
            split="test",
            image=b"",
            age=age,
            sex=sex,  # type: ignore[arg-type]
            view="PA",
            source="s",
            license="CC0-1.0",
        )

    groups = groups_of(
        [film(19.9, "F"), film(20, "M"), film(59, None), film(80, "F"), film(None, "M")]
    )
    assert groups["age"].tolist() == ["under 20", "20 to 40", "40 to 60", "80 and over", ""]
    assert names_of(groups["age"]) == ["under 20", "20 to 40", "40 to 60", "80 and over"]
    assert groups["sex"].tolist() == ["F", "M", "", "F", "M"]
    assert names_of(groups["view"]) == ["PA"]
    assert names_of(groups["race"]) == []
