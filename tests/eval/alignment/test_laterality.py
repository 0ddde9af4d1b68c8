import numpy as np
import pytest

from eval.alignment.scores import ALL, laterality_accuracy
from roentgen.record.finding import Finding, FindingName, Side, State
from roentgen.record.radiograph import Radiograph, View
from roentgen.vision.image_halves import (
    HalfImages,
    frontal_rows,
    labels_by_side,
    laterality_not_learnable,
    single_side,
)

FINDINGS: tuple[FindingName, ...] = ("Pleural Effusion", "Pneumothorax")


def radiograph(*findings: Finding, view: View | None = None) -> Radiograph:
    return Radiograph(
        view=view,
        id="r",
        patient_id="p",
        study_id="s",
        split="test",
        image=b"",
        findings=findings,
        source="drawn",
        license="CC0-1.0",
    )


def effusion(side: Side | None) -> Finding:
    return Finding(name="Pleural Effusion", side=side)


def test_each_side_is_known_on_its_own() -> None:
    rows = [
        radiograph(effusion("left")),
        radiograph(effusion("bilateral")),
        radiograph(effusion(None)),
        radiograph(effusion("right"), effusion(None)),
        radiograph(effusion("left"), effusion("right")),
        radiograph(Finding(name="Pleural Effusion", state="absent")),
        radiograph(Finding(name="Pleural Effusion", state="uncertain", side="left")),
        radiograph(
            effusion("left"), Finding(name="Pleural Effusion", state="absent", side="right")
        ),
    ]
    nan = np.nan
    labels = labels_by_side(rows, FINDINGS, "ignore")
    expected = [[1, 0], [1, 1], [nan, nan], [nan, 1], [1, 1], [0, 0], [nan, nan], [1, 0]]
    np.testing.assert_array_equal(labels[:, 0], np.array(expected, np.float32))
    assert np.isnan(labels[:, 1]).all()
    assert (labels_by_side(rows, FINDINGS, "absent")[:, 1] == 0).all()
    assert single_side(labels)[:, 0].tolist() == [0, -1, -1, -1, -1, -1, -1, 0]


def test_two_sides_of_one_finding_are_both_labeled() -> None:
    def moderate(side: Side | None, state: State = "present") -> Finding:
        return Finding(name="Pleural Effusion", side=side, state=state, severity="moderate")

    small = Finding(name="Pleural Effusion", side="left", severity="small")
    rows = [
        radiograph(small, moderate("right")),
        radiograph(small, moderate("right", "uncertain")),
        radiograph(small, moderate("bilateral", "uncertain")),
        radiograph(small, moderate(None, "uncertain")),
        radiograph(small, moderate("left", "uncertain")),
        radiograph(small, moderate("right", "absent")),
    ]
    labels = labels_by_side(rows, FINDINGS, "ignore")
    nan = np.nan
    expected = [[1, 1], [1, nan], [1, nan], [1, nan], [1, 0], [1, 0]]
    np.testing.assert_array_equal(labels[:, 0], np.array(expected, np.float32))
    assert single_side(labels)[:, 0].tolist() == [-1, -1, -1, -1, 0, 0]


def test_the_share_on_the_right_side_is_counted() -> None:
    rows = [radiograph(effusion("left"))] * 6 + [radiograph(effusion("right"))] * 4
    rows += [radiograph(effusion("bilateral"))] * 5
    labels = labels_by_side(rows, FINDINGS, "ignore")
    patients = [str(i) for i in range(15)]
    not_learned = laterality_not_learnable(labels, patients, FINDINGS, min_cases=4)
    assert "Pleural Effusion" not in not_learned
    assert not_learned["Pneumothorax"].reason == (
        "only 0 patients with it on the left and 0 on the right to train on (at least 4 needed)"
    )
    said = np.zeros((15, 2, 2))
    said[:8, 0, 0] = 1  # left in eight: six rightly, two wrongly
    said[8:, 0, 1] = 1
    found = laterality_accuracy(said, labels, patients, FINDINGS, not_learned, min_cases=4)
    assert found["Pleural Effusion"].value == pytest.approx(0.8)
    assert found["Pleural Effusion"].n == found[ALL].n == 10
    assert found["Pneumothorax"].value is None
    few = laterality_accuracy(said, labels, patients, FINDINGS, not_learned, min_cases=11)
    assert few["Pleural Effusion"].note == (
        "not measured: on one side in 10 images of 10 patients (at least 11 patients needed)"
    )
    assert few[ALL].note == "not measured: no finding has enough patients with one side"
    # The same images of two patients.
    of_two = ["a", "b"] * 7 + ["a"]
    assert "Pleural Effusion" in laterality_not_learnable(labels, of_two, FINDINGS, min_cases=4)
    few = laterality_accuracy(said, labels, of_two, FINDINGS, not_learned, min_cases=4)
    assert few["Pleural Effusion"].note == (
        "not measured: on one side in 10 images of 2 patients (at least 4 patients needed)"
    )


def test_a_half_holds_one_side_alone() -> None:
    images = np.random.default_rng(0).integers(1, 256, (5, 8, 8), dtype=np.uint8)
    halves = HalfImages(images)
    assert len(halves) == 10
    left, right = halves[np.array([6, 7])]  # of the fourth image
    np.testing.assert_array_equal(left[:, 4:], images[3][:, 4:])  # the patient's left
    np.testing.assert_array_equal(right[:, :4], images[3][:, :4])
    assert not left[:, :4].any()
    assert not right[:, 4:].any()
    np.testing.assert_array_equal(halves[0::2] + halves[1::2], images)
    assert images.all()  # nothing was written into


def test_lateral_films_show_no_side() -> None:
    rows = [radiograph(view="PA"), radiograph(view="LATERAL"), radiograph(), radiograph(view="AP")]
    assert frontal_rows(rows).tolist() == [0, 2, 3]
