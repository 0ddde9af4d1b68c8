from typing import Any

import numpy as np
import pytest

from eval.alignment.scores import demographic_accuracy
from roentgen.metrics.classification.finding_scores import resamples
from roentgen.record.radiograph import Radiograph, Sex
from roentgen.vision.linear_probe import fit_demographics


def radiographs(sexes: Any, ages: Any, views: Any = None) -> list[Radiograph]:
    return [
        Radiograph(
            id=str(i),
            patient_id=str(i),
            study_id=str(i),
            split="test",
            image=b"",
            view=views[i] if views is not None else None,
            sex=sex,
            age=age,
            source="drawn",
            license="CC0-1.0",
        )
        for i, (sex, age) in enumerate(zip(sexes, ages, strict=True))
    ]


def drawn(n: int, seed: int) -> tuple[np.ndarray, list[Sex], list[float]]:
    """Features that tell sex surely, and age with a normal error of 5 years."""
    draws = np.random.default_rng(seed)
    male, age = draws.random(n) < 0.3, draws.uniform(20, 90, n)
    seen = [male * 2.0 - 1 + 0.1 * draws.standard_normal(n), age + 5 * draws.standard_normal(n)]
    noise = draws.standard_normal((n, 6))
    sexes: list[Sex] = ["M" if m else "F" for m in male]
    return np.column_stack([*seen, noise]), sexes, age.tolist()


def test_sex_and_age_are_read_as_well_as_can_be() -> None:
    probes = fit_demographics(*_train(), min_cases=5)
    features, sexes, ages = drawn(1000, 1)
    weights = resamples([str(i) for i in range(1000)], 200, seed=0)
    found = demographic_accuracy(probes, features, radiographs(sexes, ages), weights)
    assert found["sex_accuracy"].value == 1
    assert found["sex_floor"].value == pytest.approx(sexes.count("F") / 1000)
    # The best linear guess shrinks: its error is normal with variance 1 / (1/25 + 1/408), a mean
    # absolute error of 0.798 deviations; always 55 errs by a quarter of the range of 70.
    error = found["age_error"]
    assert error.value == pytest.approx(0.798 * (1 / (1 / 25 + 12 / 70**2)) ** 0.5, rel=0.08)
    assert error.low is not None
    assert error.high is not None
    assert error.low < 3.9 < error.high
    assert found["age_floor"].value == pytest.approx(17.5, rel=0.06)


def test_wrong_sex_and_age_are_told() -> None:
    # Half of the images show the other sex; all ages asked for are drawn anew: E|U - V| = 70/3.
    probes = fit_demographics(*_train(), min_cases=5)
    features, sexes, _ = drawn(1000, 2)
    asked = [("F" if s == "M" else "M") if i % 2 else s for i, s in enumerate(sexes)]
    ages = np.random.default_rng(3).uniform(20, 90, 1000).tolist()
    weights = resamples([str(i) for i in range(1000)], 100, seed=0)
    found = demographic_accuracy(probes, features, radiographs(asked, ages), weights)
    assert found["sex_accuracy"].value == 0.5
    assert found["age_error"].value == pytest.approx(70 / 3, rel=0.06)


def test_lateral_films_have_probes_of_their_own() -> None:
    # What is a man's in a frontal film is a woman's in a lateral one.
    features, sexes, ages = drawn(400, 0)
    views = ["LATERAL" if i % 2 else "AP" for i in range(400)]
    features[1::2, 0] *= -1
    films = radiographs(sexes, ages, views)
    weights = resamples([str(i) for i in range(400)], 20, seed=0)
    found = demographic_accuracy(fit_demographics(features, films, 5), features, films, weights)
    assert found["sex_accuracy"].value == 1
    # Where only frontal films teach, lateral ones are not judged.
    frontal = fit_demographics(features[::2], films[::2], 5)
    assert demographic_accuracy(frontal, features, films, weights)["sex_accuracy"].n == 200


def test_what_is_not_known_is_said() -> None:
    features, sexes, ages = drawn(30, 0)
    weights = resamples(["p"] * 30, 20, seed=0)
    silent = radiographs([None] * 30, [None] * 30)
    probes = fit_demographics(features, silent, min_cases=5)
    found = demographic_accuracy(probes, features, radiographs(sexes, ages), weights)
    assert found["sex_accuracy"].note == (
        "not measured: only 0 F and 0 M patients to train on (at least 5 needed)"
    )
    assert found["age_error"].note == (
        "not measured: only 0 patients with an age to train on (at least 10 needed)"
    )
    probes = fit_demographics(features, radiographs(sexes, ages), min_cases=5)
    found = demographic_accuracy(probes, features, silent, weights)
    assert found["sex_accuracy"].note == "not measured: no image has a sex"
    assert found["age_floor"].note == "not measured: no image has an age"


def _train() -> tuple[np.ndarray, list[Radiograph]]:
    features, sexes, ages = drawn(2000, 0)
    return features, radiographs(sexes, ages)
