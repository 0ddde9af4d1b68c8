"""Each gate against what is known of the images: planted faults are found, real ones pass."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from roentgen.errors import InputError
from roentgen.record.findings import Finding, FindingName
from roentgen.record.radiograph import Radiograph
from roentgen.record.views import VIEWS
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
from sample.screening.gates.copies import CopiesGate
from sample.screening.gates.demographics import demographics_gate
from sample.screening.gates.duplicates import duplicates, duplicates_limit
from sample.screening.gates.gate import Check, Shown, checked_gate, worst_check
from sample.screening.gates.labels import asked_findings, labels_gate
from sample.screening.gates.outliers import kth_distance
from sample.screening.gates.quality import quality_gate
from sample.screening.gates.view import view_gate
from sample.screening.label_agreement import Auditor, share
from sample.screening.rounds import Judges
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


class Told(Shown):
    """Images of which it is given what a network says."""

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
        self.__dict__["said"] = Prediction(findings, views)
        self.__dict__["features"] = features


def sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-x)))


def labelled(count: int, seed: int, *, wrong: bool = False) -> Told:
    """Films with and without effusion whose log odds are normal around 3 and -3."""
    draws = np.random.default_rng(seed)
    present = draws.random(count) < 0.5
    odds = np.where(present != wrong, 3.0, -3.0) + draws.standard_normal(count)
    films = [radiograph(i, effusion(bool(p))) for i, p in enumerate(present)]
    return Told(films, sigmoid(odds)[:, None])


def test_a_check_drops_as_many_real_patients_as_it_may_and_no_more() -> None:
    draws = np.random.default_rng(0)
    alarms = []
    for _ in range(1000):  # three checks, of which each film has some
        values = draws.standard_normal((100, 3)) * [1, 10, 0.1] + [0, 5, -2]
        values[draws.random((100, 3)) < 0.2] = np.nan
        checks = [Check(fault=str(k), unit="", told=float) for k in range(3)]
        gate = checked_gate(
            "labels",
            "",
            checks,
            lambda shown, values=values: values[99:],  # type: ignore[misc]
            values[:99],
            [str(i) for i in range(99)],
            false_alarms=0.1,
            min_cases=2,
        )
        alarms.append(gate(Told([radiograph(0)], np.zeros((1, 1)))).fault[0] != "")
    # Some films have no check, so that fewer than 99 count; four standard deviations of 1,000.
    assert np.mean(alarms) == pytest.approx(0.1, abs=4 * (0.1 * 0.9 / 1000) ** 0.5)


def test_the_worst_check_counts_and_none_is_none() -> None:
    nan = np.nan
    worst, score = worst_check(np.array([[1.0, nan, 3.0], [nan, nan, nan], [-1.0, -2.0, nan]]))
    assert worst[[0, 2]].tolist() == [2, 0]
    np.testing.assert_array_equal(score, [3, nan, -1])


def test_wrong_labels_are_dropped_and_right_ones_pass() -> None:
    held_out = labelled(400, 0)
    asked = np.array([[1.0], [0.0]], np.float32)
    gate = labels_gate(
        LabelsConfig(false_alarms=0.05),
        (EFFUSION,),
        (EFFUSION,),
        asked,
        held_out,
        not_mentioned="ignore",
        min_cases=10,
    )
    right, wrong = gate(labelled(2000, 1)), gate(labelled(2000, 2, wrong=True))
    dropped = np.mean([fault != "" for fault in right.fault])
    # What lies on the right side of even odds passes: the rest is 3 deviations away. 2,000 films.
    assert dropped == pytest.approx(0.00135, abs=4 * (0.00135 / 2000) ** 0.5)
    assert np.mean([fault != "" for fault in wrong.fault]) > 0.99  # 6 deviations away
    assert set(wrong.fault) - {""} == {
        "Pleural Effusion asked present, not seen",
        "Pleural Effusion asked absent, seen",
    }
    power = gate.about()["wrong labels found"]
    assert all(found["share"] > 0.99 for found in power.values())
    untold = gate(Told([radiograph(0)], np.array([[0.5]])))
    assert np.isnan(untold.score[0])
    assert untold.fault == [""]


def test_a_normal_film_is_asked_to_lack_the_other_findings() -> None:
    normal = radiograph(0, Finding(name="No Finding"))
    assert asked_findings([normal, radiograph(1, effusion(True))], None) == (EFFUSION,)
    assert asked_findings([normal], None) == ("No Finding",)
    assert asked_findings([normal], ("Edema",)) == ("Edema",)


def test_too_few_held_out_films_of_a_kind_are_named() -> None:
    films = [radiograph(i, effusion(i < 3)) for i in range(40)]
    with pytest.raises(InputError, match=r"'Pleural Effusion asked present, not seen' .* only 3"):
        labels_gate(
            LabelsConfig(),
            (EFFUSION,),
            (EFFUSION,),
            np.array([[1.0]], np.float32),
            Told(films, np.full((40, 1), 0.5)),
            not_mentioned="ignore",
            min_cases=10,
        )


def test_another_view_is_dropped() -> None:
    draws = np.random.default_rng(0)

    def shown(count: int, wrong: bool) -> Told:
        views = draws.integers(0, 3, count)
        seen = (views + wrong) % 3
        odds = draws.standard_normal((count, 3)) + 6 * np.eye(3)[seen]
        said = np.exp(odds) / np.exp(odds).sum(axis=1, keepdims=True)
        films = [radiograph(i, view=int(view)) for i, view in enumerate(views)]
        return Told(films, np.zeros((count, 0)), said)

    gate = view_gate(ViewConfig(), np.arange(3), shown(400, False), min_cases=10)
    assert np.mean([f != "" for f in gate(shown(500, False)).fault]) < 0.05
    assert np.mean([f != "" for f in gate(shown(500, True)).fault]) > 0.95
    untold = gate(Told([radiograph(0, view=None)], np.zeros((1, 0))))
    assert untold.fault == [""]


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


def shown(images: np.ndarray) -> Shown:
    return Shown([radiograph(i) for i in range(len(images))], images, None)


def spoilt(image: np.ndarray, how: str) -> np.ndarray:
    levels = image.astype(float)
    match how:
        case "blank or flat":
            levels = np.full_like(levels, 128)
        case "saturated":
            levels = np.where(levels > 128, 255, 0)
        case "smeared":
            levels = np.kron(levels[::32, ::32], np.ones((32, 32)))
        case "grainy":
            levels = levels + np.random.default_rng(1).normal(0, 40, levels.shape)
        case "too dark":
            levels = levels * 0.2
        case "too bright":
            levels = 200 + levels * 0.2
    return levels.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    "how", ["blank or flat", "saturated", "smeared", "grainy", "too dark", "too bright"]
)
def test_spoilt_images_are_dropped(how: str) -> None:
    gate = quality_gate(QualityConfig(), shown(films(150, 0)), min_cases=10)
    further = films(50, 1)
    assert gate(shown(further)).fault == [""] * 50
    judged = gate(shown(np.stack([spoilt(image, how) for image in further])))
    assert all(fault != "" for fault in judged.fault)


def test_the_distance_to_the_kth_neighbour_is_that_of_the_whole_matrix() -> None:
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
    gate = CopiesGate(CopiesConfig(), train, ids, shown(films(60, 1)), 0)
    assert (gate.limit.guaranteed, gate.limit.expected) == (1 / 61, 0.005)  # 60 are too few
    planted_by_it = gate.about()["planted copies found"]
    assert (planted_by_it["share"], planted_by_it["copies"]) == (1, 60)
    copied = np.stack([planted(train[i], draws) for i in range(0, 60, 3)])
    judged = gate(shown(copied))
    assert judged.like is not None
    assert judged.like.tolist() == list(range(0, 60, 3))
    assert all(f"to film-{3 * k}," in reason for k, reason in enumerate(judged.reason))
    assert gate(shown(films(20, 2))).fault == [""] * 20


def test_what_copies_cannot_be_told_by_is_said() -> None:
    train = films(60, 0)
    ids = [f"film-{i}" for i in range(60)]
    with pytest.raises(InputError, match=r"copies: 9 patients are too few .* copies: null"):
        CopiesGate(CopiesConfig(), train, ids, shown(films(9, 1)), 0)
    # A training film among those held out: nothing is more alike than that.
    blind = CopiesGate(CopiesConfig(), train, ids, shown(np.append(films(39, 1), train[7:8], 0)), 0)
    told = ScreenConfig(
        dataset=Path("made"), reference=ReferenceConfig(folder=Path("real")), output=Path("out")
    )
    judges = Judges(gates=[blind], proxy=None, duplicates=None, shift=0, auditor=None, audits=None)
    few, sees = doubts(told, judges)
    assert few.startswith("copies: 40 real patients can vouch for 2.44% of false alarms, not for")
    assert "copies: only 0% of 60 planted copies are found" in sees
    assert "the held-out film r39 has similarity 1.000 to the training image film-7" in sees


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
    config = DuplicatesConfig(films=20)
    assert duplicates_limit(config, twice, patients, 0).value < 0.9
    assert duplicates_limit(config, twice, patients, 0).patients == 20


def test_another_sex_and_age_are_dropped() -> None:
    def people(count: int, seed: int, other: bool) -> Told:
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
        return Told(films, np.zeros((count, 0)), features=features.T)

    learnt, held_out = people(300, 0, False), people(200, 1, False)
    config = DemographicsConfig()
    gate = demographics_gate(config, held_out.radiographs, learnt, held_out, min_cases=10)
    assert np.mean([f != "" for f in gate(people(500, 2, False)).fault]) < 0.12
    assert np.mean([f != "" for f in gate(people(500, 3, True)).fault]) > 0.95
    few = Told(learnt.radiographs[:12], np.zeros((12, 0)), features=learnt.features[:12])
    with pytest.raises(InputError, match="too few frontal real radiographs have the sex"):
        demographics_gate(config, held_out.radiographs, few, held_out, min_cases=10)


def test_agreement_counts_what_was_asked_for() -> None:
    held_out = labelled(400, 0)
    auditor = Auditor((EFFUSION,), (EFFUSION,), held_out, "ignore", 10)
    films = [radiograph(i, effusion(i < 6)) for i in range(10)]
    films[9] = replace(films[9], findings=(), view=None)
    seen = np.array([0.99] * 5 + [0.01] + [0.01] * 2 + [0.99] * 2)[:, None]
    calls, views = auditor(Told(films, seen))
    found = auditor.measure(calls, views)
    assert (found["findings asked present, seen"].value, 6) == (5 / 6, 6)
    assert found["findings asked absent, not seen"].value == 2 / 3
    assert found["images with every finding as asked"].n == 9
    assert found["images with every finding as asked"].value == 7 / 9
    assert (found["view as asked"].value, found["view as asked"].n) == (1, 9)
    assert share(np.full(3, -1)).value is None
