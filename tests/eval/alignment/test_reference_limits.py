"""What a reference classifier does not tell on held-out radiographs is not measured."""

from typing import Any

import pytest

from eval.alignment.reference_limits import (
    above_ceiling,
    demographics_not_told,
    explained,
    not_told,
)
from roentgen.metrics.estimates import Estimate, NotMeasured


def interval(low: float, high: float) -> Estimate:
    return Estimate(value=(low + high) / 2, low=low, high=high, n=50)


GOOD, CHANCE, WORSE = interval(0.7, 0.9), interval(0.45, 0.65), interval(0.2, 0.4)
ABSENT = NotMeasured("no positives to evaluate on")


def test_findings_at_chance_or_without_a_ceiling_are_not_told() -> None:
    ceiling = {"all findings": CHANCE, "A": GOOD, "B": CHANCE, "C": WORSE, "D": ABSENT}
    found = not_told(ceiling, "AUROC")
    assert list(found) == ["B", "C", "D"]
    assert found["B"].reason == (
        "reference classifier at chance on held-out radiographs: AUROC 0.55 (0.45 to 0.65)"
    )
    assert found["D"].reason == ("no ceiling on held-out radiographs: no positives to evaluate on")
    assert not_told({"A": interval(0.5, 0.9)}, "AUROC")  # the interval includes 0.5
    assert not not_told({"A": interval(0.501, 0.9)}, "AUROC")


def test_sex_and_age_must_be_read_better_than_by_a_constant() -> None:
    ceiling = {
        "sex_accuracy": interval(0.6, 0.7),
        "sex_floor": interval(0.55, 0.6),
        "age_error": interval(8, 10),
        "age_floor": interval(14, 16),
    }
    assert demographics_not_told(ceiling) == {}
    blind = {"sex_floor": interval(0.6, 0.7), "age_error": interval(13, 17)}
    found = demographics_not_told(ceiling | blind)
    assert "than the most common sex: accuracy 0.65 " in found["sex"].reason
    assert "than the median age: error 15" in found["age"].reason
    absent = demographics_not_told(dict.fromkeys(ceiling, ABSENT))
    assert absent["age"].reason.startswith("no ceiling on held-out radiographs: no positives")


def scores(auroc: Estimate, view: Estimate, sex: Estimate = GOOD) -> dict[str, Any]:
    return {
        "view_accuracy": view,
        "mean_auroc": auroc,
        "auroc": {"Edema": auroc},
        "sex_accuracy": sex,
        "laterality_accuracy": {"all findings": GOOD},
    }


def test_only_what_is_beyond_the_interval_of_its_ceiling_is_above_it() -> None:
    ceiling = scores(GOOD, GOOD)
    assert above_ceiling(scores(interval(0.89, 0.99), GOOD), ceiling) == {}
    high = interval(0.91, 0.99)
    found = above_ceiling(scores(high, high), ceiling)
    assert set(found) == {"view accuracy", "mean AUROC of findings", "Edema"}
    assert above_ceiling(scores(high, ABSENT), scores(GOOD, ABSENT)).keys() == {
        "mean AUROC of findings",
        "Edema",
    }
    assert explained(scores(GOOD, GOOD), ceiling, {}, {}) == {}


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_certain_share_has_its_place(value: float) -> None:
    certain = Estimate(value=value, low=value, high=value, n=9)
    assert bool(above_ceiling(scores(certain, GOOD), scores(GOOD, GOOD))) is (value == 1)
