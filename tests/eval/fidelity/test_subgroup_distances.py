import numpy as np
import pytest

from eval.fidelity.scores import FLOOR
from eval.fidelity.subgroup_distances import by_subgroup
from roentgen.metrics.estimates import Estimate
from roentgen.metrics.features.feature_set import FeatureSet
from roentgen.metrics.features.fid_at_n import REFERENCE

D = 8


def mixed(
    counts: dict[str, int], seed: int, shifts: dict[str, float]
) -> tuple[FeatureSet, dict[str, np.ndarray]]:
    """A set with so many images of each group, shifted so far from the others; and its rows."""
    generator = np.random.default_rng(seed)
    names = [name for name, count in counts.items() for _ in range(count)]
    values = [generator.standard_normal(D) + shifts.get(name, 0.0) for name in names]
    features = np.array(values, dtype=np.float32)
    patients = [f"{seed}-{i}" for i in range(len(names))]
    rows = {name: np.flatnonzero(np.array(names) == name) for name in counts}
    return FeatureSet(features=features, patients=patients), rows


def value(estimate: Estimate) -> float:
    assert estimate.value is not None
    return estimate.value


def test_the_shifted_subgroup_is_found_at_the_same_n() -> None:
    sizes = {"F": 300, "M": 220, "rare": 60}
    made, of_made = mixed(sizes, 1, {"M": 1.0, "rare": 1.0})
    train, of_train = mixed({"F": 400, "M": 500, "rare": 90}, 2, {})
    test, of_test = mixed({"F": 150, "M": 180, "rare": 12}, 3, {})
    members = {
        name: {"made": of_made[name], FLOOR: of_train[name], REFERENCE: of_test[name]}
        for name in sizes
    }
    result = by_subgroup(
        {"made": made}, train, test, members, least=50, most=500, samples=40, seed=0
    )
    for name in ("F", "M"):
        assert (result[name].n, result[name].n_reference) == (220, 150)
        assert result[name].fid["made"].n == result[name].fid[FLOOR].n == 220
    # Shifted by 1 in 8 dimensions: 8 beyond the floor, and the kernel's distance is no chance.
    excess = {n: value(result[n].fid["made"]) - value(result[n].fid[FLOOR]) for n in ("F", "M")}
    assert excess["M"] == pytest.approx(8, rel=0.15)
    assert abs(excess["F"]) < 0.3
    for name, wrong in (("F", False), ("M", True)):
        low = result[name].kid["made"].low
        assert low is not None
        assert bool(low > 0) is wrong
    few = result["rare"].fid["made"]
    assert (few.value, few.n) == (None, 60)
    assert few.note == "not measured: only 12 patients in the test split (at least 50 needed)"
    assert result["rare"].kid[FLOOR].value is None
    fewer = by_subgroup(
        {"made": made}, train, test, members, least=50, most=100, samples=40, seed=0
    )
    assert (fewer["F"].n, fewer["M"].n_reference) == (100, 100)


def test_many_images_of_few_patients_are_no_subgroup() -> None:
    sizes = {"F": 300, "M": 220}
    (made, rows), (train, of_train), (test, of_test) = (mixed(sizes, k, {}) for k in (1, 2, 3))
    # The 220 images of M in the train split are of 44 patients.
    names = np.array(train.patients)
    names[of_train["M"]] = [str(i // 5) for i in range(220)]
    train = FeatureSet(features=train.features, patients=names.tolist())
    members = {
        name: {"made": rows[name], FLOOR: of_train[name], REFERENCE: of_test[name]}
        for name in sizes
    }
    sets, options = {"made": made}, {"most": 500, "samples": 20, "seed": 0}
    few = by_subgroup(sets, train, test, members, least=50, **options)["M"].fid["made"]
    assert few.note == "not measured: only 44 patients in the train split (at least 50 needed)"
    enough = by_subgroup(sets, train, test, members, least=44, **options)["M"]
    assert (enough.fid[FLOOR].n, enough.fid[FLOOR].patients) == (220, 44)
    assert enough.fid["made"].patients == 220
