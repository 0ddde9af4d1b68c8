"""Reference sets of one dataset and of two, and sets that are the reference's own radiographs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eval.config import EvaluateConfig, ReferenceSetConfig, SplitConfig
from eval.leakage import checks
from eval.same_images import same_images
from eval.sets import kind_of, read_sets
from eval.shared_patients import near_duplicates, outlier_limit
from roentgen.corpora.phantom import LICENSE, PhantomConfig, PhantomReader
from roentgen.dataset.dataset import DatasetWriter, open_dataset
from roentgen.dataset.image_set import ImageSet
from roentgen.errors import InputError
from roentgen.imaging.images import decode, encode_png
from roentgen.record.finding import Finding
from roentgen.record.radiograph import Radiograph
from tests.conftest import SYNTHESIS

SIZE = 64


def phantoms(seed: int, ap_share: float) -> list[Radiograph]:
    """The radiographs of 30 patients of one hospital."""
    config = PhantomConfig(train=30, validate=0, test=0, ap_share=ap_share, masks=False)
    reader = PhantomReader(config, SIZE, seed)
    return [radiograph for study in reader.plan().items for radiograph in reader.read(study)]


@pytest.fixture(scope="module")
def hospitals() -> tuple[list[Radiograph], list[Radiograph]]:
    """Two, of other patients and other shares of bedside radiographs."""
    return phantoms(1, 0.2), phantoms(2, 0.7)


def write(folder: Path, rows: list[Radiograph], fit: str = "pad", **provenance: Any) -> Path:
    with DatasetWriter(
        folder,
        licenses=[LICENSE],
        provenance={"program": "test", "made_from": {}, **provenance},
        preparation={"size": SIZE, "fit": fit},
    ) as writer:
        for row in rows:
            writer.add(row)
    return folder


def generated(rows: list[Radiograph]) -> list[Radiograph]:
    """Noise, with the records of a synthesis."""
    draws = np.random.default_rng(0)
    made = SYNTHESIS(prompt="x")
    return [
        replace(
            row,
            id=f"made-{row.id}",
            patient_id=f"made-{row.patient_id}",
            image=encode_png(draws.integers(0, 256, (SIZE, SIZE), dtype=np.uint8)),
            synthesis=made,
        )
        for row in rows
    ]


def config(place: Path, train: Path, test: Path, synthetic: Path, **more: Any) -> EvaluateConfig:
    return EvaluateConfig(
        reference=ReferenceSetConfig(
            train=SplitConfig(folder=train, split="train"),
            test=SplitConfig(folder=test, split="train"),
        ),
        synthetic={"set": synthetic},
        findings=("Cardiomegaly", "Pleural Effusion", "Fracture"),
        output=place / "results",
        **more,
    )


def test_two_hospitals_are_one_reference(tmp_path: Path, hospitals: Any) -> None:
    one, two = hospitals
    broken = [
        replace(row, findings=(*row.findings, Finding(name="Fracture", state="present")))
        for row in one[:10]
    ]
    train = write(tmp_path / "one", [*broken, *one[10:]])
    test, made = write(tmp_path / "two", two), write(tmp_path / "made", generated(two))
    sets = read_sets(config(tmp_path, train, test, made, not_mentioned="absent"))
    assert (len(sets.train), len(sets.test)) == (len(one), len(two))
    assert {sets.train.dataset.folder, sets.test.dataset.folder} == {train, test}
    # The test hospital never mentions fractures: that does not make them absent there, nor here.
    assert np.isnan(sets.train.labels[:, 2]).all()
    assert np.isnan(sets.test.labels[:, 2]).all()
    assert np.isnan(sets.train.labels[:, 1]).mean() < 0.2  # what is uncertain
    found = {check["check"]: check["result"] for check in checks(sets, None)}
    assert found["train and test share no patient"] == "holds: 30 and 30 patients"
    assert "include the shift between the datasets" in found["train and test are of one dataset"]
    assert found["train and test mention the same findings"] == (
        "not measured: Fracture (train alone)"
    )
    near = found["no held-out radiograph is a near-duplicate of a train one"]
    assert near.startswith(f"none of {len(two)} held-out radiographs is")


def test_shared_patients_are_refused_by_id_in_one_source(tmp_path: Path, hospitals: Any) -> None:
    one, two = hospitals
    train, made = write(tmp_path / "one", one), write(tmp_path / "made", generated(two))
    shared = [replace(row, id=f"again-{row.id}") for row in one[:2]]
    test = write(tmp_path / "two", [*two, *shared])
    with pytest.raises(InputError, match=rf"patient '{one[0].patient_id} \(source phantom\)'"):
        read_sets(config(tmp_path, train, test, made))
    # The same id in another source is another patient.
    other = write(tmp_path / "other", [*two, *(replace(row, source="other") for row in shared)])
    assert len(read_sets(config(tmp_path, train, other, made)).test) == len(two) + 2
    cut = write(tmp_path / "cut", two, fit="crop")
    with pytest.raises(InputError, match=r"reference.train .*prepared with fit pad, the reference"):
        read_sets(config(tmp_path, train, cut, made))


def test_shared_radiographs_with_other_ids_are_found(tmp_path: Path, hospitals: Any) -> None:
    one, two = hospitals
    draws = np.random.default_rng(3)
    planted = []
    for k, row in enumerate(one[:6]):
        pixels = decode(row.image).astype(float)
        if k % 3 == 1:
            pixels = 0.7 * pixels + 30  # another window
        if k % 3 == 2:
            pixels = pixels + draws.normal(0, 4, pixels.shape)
        image = encode_png(pixels.clip(0, 255).astype(np.uint8))
        planted.append(replace(row, id=f"x{k}", patient_id=f"x{k}", image=image))
    train, test = write(tmp_path / "one", one), write(tmp_path / "two", [*two, *planted])
    of_train, of_test = (ImageSet.of(open_dataset(f).split("train")) for f in (train, test))
    limit, pairs = near_duplicates(of_train, of_test)
    assert {(pair.test, pair.train) for pair in pairs} == {
        (f"x{k}", row.id) for k, row in enumerate(one[:6])
    }
    assert min(pair.similarity for pair in pairs) > limit
    made = write(tmp_path / "made", generated(two))
    found = checks(read_sets(config(tmp_path, train, test, made)), None)
    (line,) = (c["result"] for c in found if "near-duplicate of a train" in c["check"])
    assert line.startswith(f"6 of {len(of_test)} held-out radiographs may be of train patients")
    assert f"x0 of {one[0].id} (1.000)" in line
    assert line.endswith("; and 1 more")


def test_a_real_set_needs_patients_and_a_synthetic_one_images(
    tmp_path: Path, hospitals: Any
) -> None:
    one, two = hospitals
    patients = sorted({row.patient_id for row in one})
    few = write(tmp_path / "few", [row for row in one if row.patient_id in patients[:19]])
    enough = write(tmp_path / "enough", [row for row in one if row.patient_id in patients[:20]])
    test = write(tmp_path / "two", two)
    of_one = [replace(row, patient_id="one prompt") for row in generated(two)[:20]]
    made = write(tmp_path / "made", of_one)
    with pytest.raises(InputError, match="of 19 patients; evaluation needs at least 20 patients"):
        read_sets(config(tmp_path, few, test, made))
    assert len(read_sets(config(tmp_path, enough, test, made)).synthetic["set"]) == 20
    made = write(tmp_path / "fewer", of_one[:19])
    with pytest.raises(InputError, match=r"has 19 images; evaluation needs at least 20$"):
        read_sets(config(tmp_path, enough, test, made))


def test_normal_similarities_are_beyond_the_limit_once_in_a_hundred_sets() -> None:
    draws = np.random.default_rng(0)
    alarms = [
        (np.tanh(z) > outlier_limit(np.tanh(z))).any() for z in draws.normal(0.9, 0.1, (1000, 300))
    ]
    assert np.mean(alarms) < 0.03
    contaminated = np.tanh(np.append(draws.normal(0.9, 0.1, 270), np.full(30, 3.0)))
    assert (contaminated > outlier_limit(contaminated)).sum() == 30


def test_real_radiographs_are_no_synthetic_set_unless_allowed(
    tmp_path: Path, hospitals: Any
) -> None:
    one, two = hospitals
    train, test = write(tmp_path / "one", one), write(tmp_path / "two", two)
    # Radiographs of others may be compared, and are called what they are.
    sets = read_sets(config(tmp_path, train, test, write(tmp_path / "third", phantoms(3, 0.4))))
    assert kind_of(sets.synthetic["set"].radiographs) == "simulated"
    line = next(c["result"] for c in checks(sets, None) if "all images are" in c["check"])
    assert line.endswith("have no record of a synthesis; the set is simulated")
    # The same files under other ids, with records of a synthesis.
    copies = [replace(g, image=row.image) for g, row in zip(generated(one), one, strict=True)]
    made = write(tmp_path / "copies", copies)
    message = f"{len(one)} of {len(one)} images are radiographs of the reference itself"
    for own in (made, train):
        with pytest.raises(InputError, match=message):
            read_sets(config(tmp_path, train, test, own))
    read_sets(config(tmp_path, train, test, made, allow_reference_images=True))
    half = write(tmp_path / "few", [*copies[:10], *generated(two)])
    sets = read_sets(config(tmp_path, train, test, half))
    assert kind_of(sets.synthetic["set"].radiographs) == "synthetic"
    splits = [open_dataset(folder).split("train") for folder in (train, test)]
    assert same_images(sets.synthetic["set"], splits, 0) == (10, 10 + len(two))
    line = next(c["result"] for c in checks(sets, None) if "no image is a" in c["check"])
    assert line == f"no: 10 of {10 + len(two)} are"
