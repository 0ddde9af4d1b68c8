"""DRR-RATE: two views a scan, 18 labels of which 6 are among ours, folders as split."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roentgen.corpora.drr_rate import MEANINGS, DrrRateConfig, DrrRateReader
from roentgen.corpora.reader import Unmapped
from roentgen.errors import InputError
from roentgen.imaging.images import encode_png
from roentgen.record.radiograph import Radiograph
from roentgen.record.splits import Fractions, SplitRules
from tests.roentgen.corpora.corpus_tree import IMAGES, CorpusTree

OFFICIAL = SplitRules(published="official")


def reader(root: Path, split: SplitRules = OFFICIAL, **config: Any) -> DrrRateReader:
    return DrrRateReader(DrrRateConfig(root=root, **config), split, 16, "pad", 0)


def write(root: Path, part: str, rows: dict[str, set[str]], other: str = "0") -> None:
    labels = root / "multi_abnormality_labels"
    labels.mkdir(exist_ok=True)
    lines = [",".join(["ImageName", *MEANINGS])]
    lines += [
        ",".join([name, *("1" if word in words else other for word in MEANINGS)])
        for name, words in rows.items()
    ]
    (labels / f"{part}_predicted_labels.csv").write_text("\n".join(lines) + "\n")


def film(root: Path, part: str, view: str, name: str) -> None:
    patient, scan = "_".join(name.split("_")[:2]), name.rpartition("_")[0]
    path = root / part / view / patient / scan / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(np.arange(64, dtype=np.uint8).reshape(8, 8)))


def test_views_labels_and_splits(tmp_path: Path) -> None:
    words = {"Lung nodule", "Medical material", "Emphysema"}
    write(tmp_path, "train", {"train_1_a_1.png": words, "train_1_b_1.png": set()})
    write(tmp_path, "valid", {"valid_1_a_1.nii.gz": set(), "valid_2_a_1": set()}, other="0.0")
    for view in ("AP", "LATERAL"):
        film(tmp_path, "train", view, "train_1_a_1")
        film(tmp_path, "valid", view, "valid_1_a_1")
    film(tmp_path, "train", "AP", "train_1_b_1")
    film(tmp_path, "train", "AP", "train_9_a_1")
    it = reader(tmp_path)
    plan = it.plan()
    assert [(item.id, item.split, item.view, item.study) for item in plan.items] == [
        ("train_1_a_1-ap", "train", "AP", "train_1_a"),
        ("train_1_a_1-lateral", "train", "LATERAL", "train_1_a"),
        ("train_1_b_1-ap", "train", "AP", "train_1_b"),
        ("valid_1_a_1-ap", "validate", "AP", "valid_1_a"),
        ("valid_1_a_1-lateral", "validate", "LATERAL", "valid_1_a"),
    ]
    assert {item.patient for item in plan.items} == {"train_1", "valid_1"}
    assert {(item.id, item.reason, not item.is_bad) for item in plan.excluded} == {
        ("train_1_b_1-lateral", "file missing", True),
        ("valid_2_a_1-ap", "file missing", True),
        ("valid_2_a_1-lateral", "file missing", True),
        ("train_9_a_1-ap", "not in train_predicted_labels.csv", True),
    }
    assert plan.unmapped == {Unmapped("finding", "Emphysema", "excluded by name"): 2}  # two films
    (film_read,) = it.read(plan.items[0])
    assert isinstance(film_read, Radiograph)
    assert {(f.name, f.state, f.detail) for f in film_read.findings} == {
        ("Lung Lesion", "present", "nodule"),
        ("Support Devices", "present", None),
        *((n, "absent", None) for n in ("Cardiomegaly", "Atelectasis", "Lung Opacity")),
        *((n, "absent", None) for n in ("Pleural Effusion", "Consolidation")),
    }
    only = reader(tmp_path, SplitRules(fractions=Fractions(train=0, validate=0, test=1)))
    assert {item.split for item in only.plan().items} == {"test"}
    assert {item.view for item in reader(tmp_path, views=("AP",)).plan().items} == {"AP"}


def test_bad_names_labels_and_roots_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"drr_rate\.root .*expected train/ or valid/"):
        reader(tmp_path).plan()
    (tmp_path / "train").mkdir()
    with pytest.raises(
        InputError, match="expected AP or LATERAL with images inside, found nothing"
    ):
        reader(tmp_path).plan()
    film(tmp_path, "train", "AP", "train_1_a_1")
    with pytest.raises(InputError, match=r"no such table: .*train_predicted_labels\.csv"):
        reader(tmp_path).plan()
    write(tmp_path, "train", {"train_1_a_1.png": set(MEANINGS), "../train_1_a_1": set()}, other="?")
    plan = reader(tmp_path).plan()
    assert len(plan.items) == 1
    assert plan.excluded[0].reason == "ImageName is not as train_1_a_1"
    write(tmp_path, "train", {"train_1_a_1.png": set(), "train_1_a_2": set(MEANINGS)}, other="?")
    with pytest.raises(InputError, match="expected the images of the label tables"):
        reader(tmp_path).plan()
    (tmp_path / "multi_abnormality_labels/train_predicted_labels.csv").write_text("ImageName,X\n")
    with pytest.raises(InputError, match="has no column 'Medical material'"):
        reader(tmp_path).plan()


def small_tree(root: Path) -> CorpusTree:
    """The corpus for the tests of bad input."""
    labels = ["Medical material", "Arterial wall calcification", "Cardiomegaly"]
    labels += ["Pericardial effusion", "Coronary artery wall calcification", "Hiatal hernia"]
    labels += ["Lymphadenopathy", "Emphysema", "Atelectasis", "Lung nodule", "Lung opacity"]
    labels += ["Pulmonary fibrotic sequela", "Pleural effusion", "Mosaic attenuation pattern"]
    labels += ["Peribronchial thickening", "Consolidation", "Bronchiectasis"]
    labels += ["Interlobular septal thickening"]
    table = root / "multi_abnormality_labels/train_predicted_labels.csv"
    corpus = CorpusTree("drr_rate", "png", root, table, ["ImageName", *labels])
    for number in range(1, IMAGES + 1):
        scan = f"train_{number}_a"
        path = f"train/AP/train_{number}/{scan}/{scan}_1.png"
        corpus.add(f"{scan}_1-ap", path, [f"{scan}_1.nii.gz", *["0"] * 18])
    corpus.arguments = ["--drr_rate.views=[AP]"]
    return corpus
