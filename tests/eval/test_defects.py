"""Planted defects change what they are named for and nothing else, the more the stronger."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from roentgen.record.finding import Finding
from roentgen.record.radiograph import VIEWS, Radiograph
from tests.eval.defects import DEFECTS, STRENGTHS, Defect, Donors, Row, of_hospital, planted

SIDE, N = 64, 24
OF_IMAGES: tuple[Defect, ...] = DEFECTS[:6]
OF_RECORDS: tuple[Defect, ...] = ("swapped sides", "wrong labels")


def rows(start: int, n: int = N) -> tuple[Row, ...]:
    """Smooth images with a grain, one of three a lateral view, every other of the second source."""
    found = []
    for k in range(start, start + n):
        generator = np.random.default_rng(k)
        smooth = gaussian_filter(generator.standard_normal((SIDE, SIDE)), 4) * 300 + 128
        image = smooth + 6 * generator.standard_normal((SIDE, SIDE))
        record = Radiograph(
            id=str(k),
            patient_id=str(k),
            study_id=str(k),
            split="train",
            image=b"",
            view=VIEWS[k % 3],
            findings=(
                Finding(name="Pneumothorax", side=("left", "right")[k // 2 % 2]),
                Finding(name="Edema", state=("present", "absent")[k // 3 % 2]),
            ),
            source="drawn",
            license="CC0-1.0",
        )
        found.append(of_hospital(Row(record, image.clip(0, 255).astype(np.uint8)), k))
    return tuple(found)


@pytest.fixture(scope="module")
def donors() -> Donors:
    boneless = {
        share: {r.id: (image * (1 - share / 4)).astype(np.uint8) for r, image in rows(0)}
        for share in STRENGTHS["missing ribs"]
    }
    return Donors(train=rows(100), others=rows(200), without_bones=boneless)


def images_of(some: Sequence[Row]) -> np.ndarray:
    return np.stack([image for _, image in some]).astype(float)


@pytest.mark.parametrize("defect", OF_IMAGES)
def test_images_change_the_more_the_stronger(defect: Defect, donors: Donors) -> None:
    clean = rows(0)
    errors = [0.0]
    for strength in STRENGTHS[defect]:
        made = planted(defect, strength, clean, donors)
        assert [r for r, _ in made] == [r for r, _ in clean]
        errors.append(float(np.abs(images_of(made) - images_of(clean)).mean()))
    assert all(before < after for before, after in pairwise(errors)), errors


@pytest.mark.parametrize("defect", ["noise", "blur", "ringing"])
def test_an_image_is_the_same_in_every_set(defect: Defect, donors: Donors) -> None:
    strength = STRENGTHS[defect][-1]
    whole, half = (planted(defect, strength, rows(0)[part:], donors) for part in (0, 12))
    assert (images_of(whole)[12:] == images_of(half)).all()


@pytest.mark.parametrize("defect", OF_RECORDS)
def test_records_change_and_images_do_not(defect: Defect, donors: Donors) -> None:
    clean = rows(0)
    counts = []
    for strength in STRENGTHS[defect]:
        made = planted(defect, strength, clean, donors)
        assert (images_of(made) == images_of(clean)).all()
        changed = [r for (r, _), (own, _) in zip(made, clean, strict=True) if r != own]
        counts.append(len(changed))
        assert len(changed) <= round(strength * N)
        for (r, _), (own, _) in zip(made, clean, strict=True):
            assert replace(r, findings=()) == replace(own, findings=())
    assert counts == sorted(counts)
    assert counts[-1] > 0


def test_all_sides_are_swapped(donors: Donors) -> None:
    clean, made = rows(0), planted("swapped sides", 1, rows(0), donors)
    for (own, _), (swapped, _) in zip(clean, made, strict=True):
        assert {own.findings[0].side, swapped.findings[0].side} == {"left", "right"}
        assert own.findings[1] == swapped.findings[1]


def test_copies_are_near_the_train_split(donors: Donors) -> None:
    clean = rows(0)
    made = planted("copies", 0.25, clean, donors)
    copied = [k for k in range(N) if (made[k].image != clean[k].image).any()]
    assert len(copied) == 6
    assert [r.id for r, _ in made] == [r.id for r, _ in clean]
    train = images_of(donors.train).reshape(N, -1)
    for k in copied:
        alike = sorted(np.corrcoef(made[k].image.ravel(), other)[0, 1] for other in train)
        assert alike[-1] > 0.8
        assert alike[-2] < 0.6


@pytest.mark.parametrize("defect", ["missing view", "one source"])
def test_what_is_missing_is_replaced_by_other_patients(defect: Defect, donors: Donors) -> None:
    def left(some: tuple[Row, ...]) -> int:
        if defect == "missing view":
            return sum(r.view == "LATERAL" for r, _ in some)
        return sum(r.source == "second hospital" for r, _ in some)

    counts = [left(planted(defect, share, rows(0), donors)) for share in (0.5, 1)]
    assert counts == [left(rows(0)) / 2, 0]
    made = planted(defect, 1, rows(0), donors)
    assert len({r.id for r, _ in made}) == N
