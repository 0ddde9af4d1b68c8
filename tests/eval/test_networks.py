import numpy as np

from eval.networks import Regime, hold_out, regimes, trainings
from eval.subgroups import groups_of, names_of
from roentgen.record.radiograph import Radiograph

PATIENTS = [f"p{i // 3}" for i in range(300)]  # 100 patients with 3 films each


def test_regimes_are_all_combinations_and_named() -> None:
    wanted = regimes(("synthetic", "mixed", "pretrained"), (0.1, 1.0), (1, None))
    assert [regime.name for regime in wanted] == [
        "radiographs",
        "1x synthetic",
        "all synthetic",
        "radiographs + 1x synthetic",
        "radiographs + all synthetic",
        "1x synthetic, then radiographs",
        "all synthetic, then radiographs",
        "10 % of radiographs",
        "10 % of radiographs + 1x synthetic",
        "10 % of radiographs + all synthetic",
        "1x synthetic, then 10 % of radiographs",
        "all synthetic, then 10 % of radiographs",
    ]
    assert Regime(kind="mixed", fraction=0.01, multiple=2).base.name == "1 % of radiographs"


def test_validation_takes_whole_patients() -> None:
    held_out, rest = hold_out(PATIENTS, 0.2, seed=0)
    assert len(held_out) == 60
    assert sorted([*held_out, *rest]) == list(range(300))
    assert not {PATIENTS[i] for i in held_out} & {PATIENTS[i] for i in rest}


def test_shares_are_of_patients_nested_and_the_same_in_all_regimes_of_a_seed() -> None:
    wanted = regimes(("synthetic", "mixed", "pretrained"), (0.01, 0.1, 1.0), (2,))
    every, not_measured = trainings(wanted, (0, 1), PATIENTS, 600)
    assert not not_measured
    at = {(t.regime.name, t.seed): t for t in every}
    one, ten = at["1 % of radiographs", 0], at["10 % of radiographs", 0]
    assert (len(one.real), len(ten.real), len(at["radiographs", 0].real)) == (3, 30, 300)
    assert len({PATIENTS[i] for i in ten.real}) == 10
    assert set(one.real) <= set(ten.real)
    np.testing.assert_array_equal(at["10 % of radiographs + 2x synthetic", 0].real, ten.real)
    mixed = at["10 % of radiographs + 2x synthetic", 0].synthetic
    assert len(mixed) == 60
    assert set(mixed) <= set(at["2x synthetic", 0].synthetic)
    assert len(at["2x synthetic", 0].synthetic) == 600
    assert len(at["2x synthetic", 0].real) == 0
    assert not np.array_equal(at["10 % of radiographs", 1].real, ten.real)
    assert not np.array_equal(at["10 % of radiographs + 2x synthetic", 1].synthetic, mixed)
    again, _ = trainings(wanted, (0, 1), PATIENTS, 600)
    for a, b in zip(every, again, strict=True):
        np.testing.assert_array_equal(a.real, b.real)
        np.testing.assert_array_equal(a.synthetic, b.synthetic)


def test_too_few_synthetic_images_are_stated_not_made_up_for() -> None:
    wanted = regimes(("mixed",), (0.1, 1.0), (1, 2, None))
    every, not_measured = trainings(wanted, (0,), PATIENTS, 450)
    assert {regime.name: missing.reason for regime, missing in not_measured.items()} == {
        "radiographs + 2x synthetic": "600 synthetic images are needed, there are 450"
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
