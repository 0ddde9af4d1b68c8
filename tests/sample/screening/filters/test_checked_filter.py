"""Each filter on images of known quality: planted failures are found, real images pass."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from roentgen.errors import InputError
from roentgen.record.finding import Finding, FindingName
from roentgen.record.radiograph import VIEWS, Radiograph
from roentgen.vision.classifier import Prediction
from sample.screening.config import (
    CopiesConfig,
    DemographicsConfig,
    DuplicatesConfig,
    LabelsConfig,
    QualityConfig,
    ReferenceConfig,
    ScreenConfig,
    ViewConfig,
)
from sample.screening.filters.checked_filter import (
    Check,
    PredictedImages,
    checked_filter,
    worst_check,
)
from sample.screening.filters.copies import CopiesFilter
from sample.screening.filters.demographics import demographics_filter
from sample.screening.filters.duplicates import duplicates, duplicates_limit
from sample.screening.filters.labels import labels_filter, requested_findings
from sample.screening.filters.outliers import kth_distance
from sample.screening.filters.quality import quality_filter
from sample.screening.filters.view import view_filter
from sample.screening.label_agreement import LabelAgreement, share
from sample.screening.rounds import Screener
from sample.screening.summary import doubts

EFFUSION: FindingName = "Pleural Effusion"


def radiograph(i: int, *findings: Finding, view: int | None = 0, **told: object) -> Radiograph:
    return Radiograph(
        id=f"r{i}",
        patient_id=f"p{i}",
        study_id=f"s{i}",
        split="test",
        image=b"",
        view=None if view is None else VIEWS[view],
        findings=findings,
        source="drawn",
        license="CC0-1.0",
        **told,  # type: ignore[arg-type]
    )


def effusion(present: bool) -> Finding:
    return Finding(name="Pleural Effusion", state="present" if present else "absent")


class GivenPredictions(PredictedImages):
    """Images with given predictions."""

    def __init__(
        self,
        radiographs: Sequence[Radiograph],
        findings: np.ndarray,
        views: np.ndarray | None = None,
        features: np.ndarray | None = None,
    ) -> None:
        super().__init__(radiographs, np.zeros((len(radiographs), 8, 8), np.uint8), None)
        if views is None:
            views = np.tile([1.0, 0, 0], (len(radiographs), 1))
        self.__dict__["predictions"] = Prediction(findings, views)
        self.__dict__["features"] = features


def sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-x)))


def labeled(count: int, seed: int, *, wrong: bool = False) -> GivenPredictions:
    """Films with and without effusion whose log odds are normal around 3 and -3."""
    draws = np.random.default_rng(seed)
    present = draws.random(count) < 0.5
    odds = np.where(present != wrong, 3.0, -3.0) + draws.standard_normal(count)
    films = [radiograph(i, effusion(bool(p))) for i, p in enumerate(present)]
    return GivenPredictions(films, sigmoid(odds)[:, None])


def test_a_check_drops_as_many_real_patients_as_it_may_and_no_more() -> None:
    draws = np.random.default_rng(0)
    alarms = []
    for _ in range(1000):  # three checks, of which each film has some
        values = draws.standard_normal((100, 3)) * [1, 10, 0.1] + [0, 5, -2]
        values[draws.random((100, 3)) < 0.2] = np.nan
        checks = [Check(failure=str(k), unit="", to_unit=float) for k in range(3)]
        filter_ = checked_filter(
            "labels",
            "",
            checks,
            lambda shown, values=values: values[99:],  # type: ignore[misc]
            values[:99],
            [str(i) for i in range(99)],
            false_alarms=0.1,
            min_cases=2,
        )
        alarms.append(filter_(GivenPredictions([radiograph(0)], np.zeros((1, 1)))).failure[0] != "")
    # Some films have no check, so that fewer than 99 count; four standard deviations of 1,000.
    assert np.mean(alarms) == pytest.approx(0.1, abs=4 * (0.1 * 0.9 / 1000) ** 0.5)


def test_the_worst_check_counts_and_none_is_none() -> None:
    nan = np.nan
    worst, score = worst_check(np.array([[1.0, nan, 3.0], [nan, nan, nan], [-1.0, -2.0, nan]]))
    assert worst[[0, 2]].tolist() == [2, 0]
    np.testing.assert_array_equal(score, [3, nan, -1])


def test_wrong_labels_are_dropped_and_right_ones_pass() -> None:
    held_out = labeled(400, 0)
    requested = np.array([[1.0], [0.0]], np.float32)
    filter_ = labels_filter(
        LabelsConfig(false_alarms=0.05),
        (EFFUSION,),
        (EFFUSION,),
        requested,
        held_out,
        not_mentioned="ignore",
        min_cases=10,
    )
    right, wrong = filter_(labeled(2000, 1)), filter_(labeled(2000, 2, wrong=True))
    dropped = np.mean([failure != "" for failure in right.failure])
    # What lies on the right side of even odds passes: the rest is 3 deviations away. 2,000 films.
    assert dropped == pytest.approx(0.00135, abs=4 * (0.00135 / 2000) ** 0.5)
    assert np.mean([failure != "" for failure in wrong.failure]) > 0.99  # 6 deviations away
    assert set(wrong.failure) - {""} == {
        "Pleural Effusion requested present, not found",
        "Pleural Effusion requested absent, found",
    }
    power = filter_.about()["wrong labels found"]
    assert all(found["share"] > 0.99 for found in power.values())
    untold = filter_(GivenPredictions([radiograph(0)], np.array([[0.5]])))
    assert np.isnan(untold.score[0])
    assert untold.failure == [""]


def test_a_normal_film_is_asked_to_lack_the_other_findings() -> None:
    normal = radiograph(0, Finding(name="No Finding"))
    assert requested_findings([normal, radiograph(1, effusion(True))], None) == (EFFUSION,)
    assert requested_findings([normal], None) == ("No Finding",)
    assert requested_findings([normal], ("Edema",)) == ("Edema",)


def test_too_few_held_out_films_of_a_kind_are_named() -> None:
    films = [radiograph(i, effusion(i < 3)) for i in range(40)]
    with pytest.raises(
        InputError, match=r"'Pleural Effusion requested present, not found' .* only 3"
    ):
        labels_filter(
            LabelsConfig(),
            (EFFUSION,),
            (EFFUSION,),
            np.array([[1.0]], np.float32),
            GivenPredictions(films, np.full((40, 1), 0.5)),
            not_mentioned="ignore",
            min_cases=10,
        )


def test_another_view_is_dropped() -> None:
    draws = np.random.default_rng(0)

    def shown(count: int, wrong: bool) -> GivenPredictions:
        views = draws.integers(0, 3, count)
        seen = (views + wrong) % 3
        odds = draws.standard_normal((count, 3)) + 6 * np.eye(3)[seen]
        said = np.exp(odds) / np.exp(odds).sum(axis=1, keepdims=True)
        films = [radiograph(i, view=int(view)) for i, view in enumerate(views)]
        return GivenPredictions(films, np.zeros((count, 0)), said)

    filter_ = view_filter(ViewConfig(), np.arange(3), shown(400, False), min_cases=10)
    assert np.mean([f != "" for f in filter_(shown(500, False)).failure]) < 0.05
    assert np.mean([f != "" for f in filter_(shown(500, True)).failure]) > 0.95
    untold = filter_(GivenPredictions([radiograph(0, view=None)], np.zeros((1, 0))))
    assert untold.failure == [""]


def films(count: int, seed: int, side: int = 128) -> np.ndarray:
    """Smooth bodies of which each has structures of its own."""
    draws = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    body = 120 + 70 * np.cos(6 * (x - 0.5)) * np.cos(4 * (y - 0.5))
    result = []
    for _ in range(count):
        image = draws.uniform(0.9, 1.1) * body + draws.uniform(-10, 10)
        for _ in range(30):
            cy, cx, size = draws.uniform(0, 1), draws.uniform(0, 1), draws.uniform(0.01, 0.05)
            height = draws.uniform(-30, 30)
            image += height * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * size**2))
        result.append(image + draws.normal(0, 1, image.shape))
    return np.stack(result).clip(0, 255).astype(np.uint8)


def shown(images: np.ndarray) -> PredictedImages:
    return PredictedImages([radiograph(i) for i in range(len(images))], images, None)


def spoilt(image: np.ndarray, how: str) -> np.ndarray:
    levels = image.astype(float)
    match how:
        case "blank or flat":
            levels = np.full_like(levels, 128)
        case "saturated":
            levels = np.where(levels > 128, 255, 0)
        case "blurred":
            levels = np.kron(levels[::32, ::32], np.ones((32, 32)))
        case "noisy":
            levels = levels + np.random.default_rng(1).normal(0, 40, levels.shape)
        case "too dark":
            levels = levels * 0.2
        case "too bright":
            levels = 200 + levels * 0.2
    return levels.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    "how", ["blank or flat", "saturated", "blurred", "noisy", "too dark", "too bright"]
)
def test_spoilt_images_are_dropped(how: str) -> None:
    filter_ = quality_filter(QualityConfig(), shown(films(150, 0)), min_cases=10)
    further = films(50, 1)
    assert filter_(shown(further)).failure == [""] * 50
    judged = filter_(shown(np.stack([spoilt(image, how) for image in further])))
    assert all(failure != "" for failure in judged.failure)


def test_the_distance_to_the_kth_neighbor_is_that_of_the_whole_matrix() -> None:
    draws = np.random.default_rng(0)
    x, y = draws.standard_normal((7, 5)), draws.standard_normal((20, 5))
    x, y = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (x, y))
    whole = np.sort(np.linalg.norm(x[:, None] - y, axis=2), axis=1)
    for k in (1, 3, 20):
        found = kth_distance(x.astype(np.float32), y.astype(np.float32), k)
        np.testing.assert_allclose(found, whole[:, k - 1], atol=1e-6)


def planted(image: np.ndarray, draws: np.random.Generator) -> np.ndarray:
    """A copy: moved by up to 4 pixels, its contrast and brightness changed, noise added."""
    down, right = draws.integers(-4, 5, 2)
    side = len(image)
    moved = np.pad(image, 4, mode="edge")[4 + down : 4 + down + side, 4 + right : 4 + right + side]
    levels = 128 + draws.uniform(0.7, 1.2) * (moved.astype(float) - 128) + draws.uniform(-20, 20)
    levels += draws.normal(0, draws.uniform(2, 8), levels.shape)
    return np.asarray(levels.clip(0, 255).astype(np.uint8))


def test_copies_are_dropped_and_their_originals_named() -> None:
    train, draws = films(60, 0), np.random.default_rng(9)
    ids = [f"film-{i}" for i in range(60)]
    filter_ = CopiesFilter(CopiesConfig(), train, ids, shown(films(60, 1)), 0)
    assert (filter_.limit.guaranteed, filter_.limit.expected) == (1 / 61, 0.005)  # 60 are too few
    planted_by_it = filter_.about()["planted copies found"]
    assert (planted_by_it["share"], planted_by_it["copies"]) == (1, 60)
    copied = np.stack([planted(train[i], draws) for i in range(0, 60, 3)])
    judged = filter_(shown(copied))
    assert judged.similar_to is not None
    assert judged.similar_to.tolist() == list(range(0, 60, 3))
    assert all(f"to film-{3 * k}," in reason for k, reason in enumerate(judged.reason))
    assert filter_(shown(films(20, 2))).failure == [""] * 20


def test_what_copies_cannot_be_told_by_is_said() -> None:
    train = films(60, 0)
    ids = [f"film-{i}" for i in range(60)]
    with pytest.raises(InputError, match=r"copies: 9 patients are too few .* copies: null"):
        CopiesFilter(CopiesConfig(), train, ids, shown(films(9, 1)), 0)
    # A training film among those held out: nothing is more alike than that.
    blind = CopiesFilter(
        CopiesConfig(), train, ids, shown(np.append(films(39, 1), train[7:8], 0)), 0
    )
    told = ScreenConfig(
        dataset=Path("made"), reference=ReferenceConfig(folder=Path("real")), output=Path("out")
    )
    screener = Screener(
        filters=[blind],
        classifier=None,
        duplicates=None,
        shift=0,
        agreement=None,
        independent_classifier=None,
    )
    few, sees = doubts(told, screener)
    assert few.startswith("copies: 40 real patients support a false-alarm rate of 2.44%, not")
    assert "copies: only 0% of 60 planted copies are found" in sees
    assert "held-out radiograph r39 has similarity 1.000 to the training image film-7" in sees


def test_of_each_group_of_duplicates_the_first_stays() -> None:
    draws = np.random.default_rng(3)
    images = films(12, 4)
    for late, early in ((5, 2), (7, 2), (9, 2), (11, 10)):  # 2, 5, 7, 9 are one group
        images[late] = planted(images[early], draws)
    train = films(60, 0)
    limit = duplicates_limit(DuplicatesConfig(), train, [str(i) for i in range(60)], 0)
    found = duplicates(None, images, 4, limit.value)
    assert np.flatnonzero(found.of >= 0).tolist() == [5, 7, 9, 11]
    assert found.of[[5, 7, 9, 11]].tolist() == [2, 2, 2, 10]
    kept = np.stack([planted(images[0], draws), train[0]])
    again = duplicates(kept, images[:3], 4, limit.value)
    assert again.of.tolist() == [0, -1, -1]
    assert duplicates(None, images[:1], 4, limit.value).of.tolist() == [-1]


def test_a_patients_own_films_are_no_measure_of_duplicates() -> None:
    train = films(30, 0)
    twice = np.concatenate([train, train])
    patients = [str(i) for i in range(30)] * 2
    config = DuplicatesConfig(patients=20)
    assert duplicates_limit(config, twice, patients, 0).value < 0.9
    assert duplicates_limit(config, twice, patients, 0).patients == 20


def test_another_sex_and_age_are_dropped() -> None:
    def people(count: int, seed: int, other: bool) -> GivenPredictions:
        draws = np.random.default_rng(seed)
        male, ages = draws.random(count) < 0.5, draws.uniform(20, 90, count)
        shown_male = male != other
        shown_ages = 110 - ages if other else ages
        features = np.stack([shown_male + 0.1 * draws.standard_normal(count), shown_ages / 50])
        features[1] += 0.02 * draws.standard_normal(count)
        films = [
            radiograph(i, sex="M" if m else "F", age=float(a))
            for i, (m, a) in enumerate(zip(male, ages, strict=True))
        ]
        return GivenPredictions(films, np.zeros((count, 0)), features=features.T)

    learnt, held_out = people(300, 0, False), people(200, 1, False)
    config = DemographicsConfig()
    filter_ = demographics_filter(config, held_out.radiographs, learnt, held_out, min_cases=10)
    assert np.mean([f != "" for f in filter_(people(500, 2, False)).failure]) < 0.12
    assert np.mean([f != "" for f in filter_(people(500, 3, True)).failure]) > 0.95
    few = GivenPredictions(
        learnt.radiographs[:12], np.zeros((12, 0)), features=learnt.features[:12]
    )
    with pytest.raises(InputError, match="too few frontal real radiographs have the sex"):
        demographics_filter(config, held_out.radiographs, few, held_out, min_cases=10)


def test_agreement_counts_what_was_asked_for() -> None:
    held_out = labeled(400, 0)
    agreement = LabelAgreement((EFFUSION,), (EFFUSION,), held_out, "ignore", 10)
    films = [radiograph(i, effusion(i < 6)) for i in range(10)]
    films[9] = replace(films[9], findings=(), view=None)
    seen = np.array([0.99] * 5 + [0.01] + [0.01] * 2 + [0.99] * 2)[:, None]
    calls, views = agreement(GivenPredictions(films, seen))
    found = agreement.measure(calls, views)
    assert (found["requested present, predicted present"].value, 6) == (5 / 6, 6)
    assert found["requested absent, predicted absent"].value == 2 / 3
    assert found["images with all findings as requested"].n == 9
    assert found["images with all findings as requested"].value == 7 / 9
    assert (found["view accuracy"].value, found["view accuracy"].n) == (1, 9)
    assert share(np.full(3, -1)).value is None
