"""The image-folder layout: one metadata file a split or one for all, three formats."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from roentgen.corpora.image_folder import ImageFolderConfig, ImageFolderReader
from roentgen.corpora.reader import Unmapped
from roentgen.corpora.scanning.row_filter import MaskTable, RowFilter
from roentgen.corpora.table import ReportColumns
from roentgen.errors import InputError
from roentgen.imaging.images import encode_png
from roentgen.manifest import License
from roentgen.record.finding import Finding
from roentgen.record.splits import Fractions, SplitRules
from tests.roentgen.corpora.corpus_tree import IMAGES, CorpusTree, radiographs_of

FOLDERS = SplitRules(published="folders")
CC0 = License(name="CC0-1.0", data_use=None, may_share=True)


def config(root: Path, **changes: Any) -> ImageFolderConfig:
    columns = {"patient_id": "patient", "licenses": (CC0,)}
    return ImageFolderConfig(root=root, **(columns | changes))


def reader(root: Path, split: SplitRules = FOLDERS, **changes: Any) -> ImageFolderReader:
    return ImageFolderReader(config(root, **changes), split, 8, "pad", 0)


def write(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, row in enumerate(rows):
        if "file_name" in row and ".." not in row["file_name"]:
            image = np.random.default_rng(number).integers(0, 256, (8, 8), dtype=np.uint8)
            (folder / row["file_name"]).parent.mkdir(exist_ok=True)
            (folder / row["file_name"]).write_bytes(encode_png(image))
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), folder / name)
    elif name.endswith(".jsonl"):
        (folder / name).write_text("\n".join(map(json.dumps, rows)) + "\n")
    else:
        lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
        (folder / name).write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl", "metadata.parquet"])
def test_a_folder_a_split(tmp_path: Path, name: str) -> None:
    write(tmp_path / "train", name, [{"file_name": "0.png", "patient": "1", "text": "Clear."}])
    write(tmp_path / "validation", name, [{"file_name": "0.png", "patient": "2", "text": ""}])
    write(tmp_path / "test", name, [{"file_name": "a/0.png", "patient": "3", "text": "Opacity."}])
    it = reader(tmp_path, report=ReportColumns(impression="text"))
    plan = it.plan()
    assert not plan.excluded
    assert [(item.id, item.split) for item in plan.items] == [
        ("train/0", "train"),
        ("validation/0", "validate"),
        ("test/a/0", "test"),
    ]
    (one,), (two,), (three,) = (radiographs_of(it, item) for item in plan.items)
    assert (one.id, one.split, one.patient_id) == ("train/0", "train", "1")
    assert one.report is not None
    assert (one.report.impression, two.report) == ("Clear.", None)
    assert {r.source for r in (one, two, three)} == {tmp_path.name}
    assert one.license == "CC0-1.0"


def test_patients_are_compared_across_folders(tmp_path: Path) -> None:
    write(tmp_path / "train", "metadata.csv", [{"file_name": "0.png", "patient": "P1"}])
    write(tmp_path / "test", "metadata.csv", [{"file_name": "0.png", "patient": "p1"}])
    why = "ids that differ in zeros or case alone are different patients: misspelled?"
    assert reader(tmp_path).plan().unmapped == {Unmapped("patient", "P1, p1", why): 2}


def test_filters_and_missing_images_are_compared_across_folders(tmp_path: Path) -> None:
    for folder, word in (("train", "good"), ("test", "dark")):
        rows = [{"file_name": f"{k}.png", "patient": folder, "q": word} for k in range(2)]
        write(tmp_path / folder, "metadata.csv", rows)
    where = (RowFilter(column="q", any_of=("good", "dark")),)
    for name in ("train/0.png", "test/0.png", "test/1.png"):
        (tmp_path / name).unlink()
    plan = reader(tmp_path, where=where).plan()
    assert [item.id for item in plan.items] == ["train/1"]
    assert {item.id for item in plan.excluded if item.missing} == {"train/0", "test/0", "test/1"}
    where = (RowFilter(column="q", any_of=("good", "bright")),)
    with pytest.raises(InputError, match="no row of the metadata has 'bright' in column 'q', whic"):
        reader(tmp_path, where=where).plan()
    (tmp_path / "train/1.png").unlink()
    with pytest.raises(InputError, match="expected the images of the metadata, found test, train"):
        reader(tmp_path).plan()


def test_one_file_for_all_splits(tmp_path: Path) -> None:
    rows = [
        {"file_name": "train/0.png", "patient": "1"},
        {"file_name": "test/0.png", "patient": "2"},
        {"file_name": "more/0.png", "patient": "3"},
        {"file_name": "../0.png", "patient": "4"},
    ]
    write(tmp_path, "metadata.csv", rows)
    plan = reader(tmp_path).plan()
    assert [(item.id, item.split) for item in plan.items] == [
        ("train/0", "train"),
        ("test/0", "test"),
    ]
    assert {item.id: item.reason for item in plan.excluded} == {
        "more/0": "the image is in no split's folder: train, validation or test",
        "../0": "path '../0.png' leads out of the corpus folder",
    }
    hashed = SplitRules(fractions=Fractions(train=0, validate=0, test=1))
    assert {item.split for item in reader(tmp_path, hashed).plan().items} == {"test"}


def test_json_values_become_cells(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"file_name": "0.png", "patient": 7, "labels": ["Mass", "Odd"], "edema": True, "age": 63},
        {"file_name": "1.png", "patient": 7, "labels": None, "edema": False},
    ]
    write(tmp_path / "train", "metadata.jsonl", rows)
    with (tmp_path / "train" / "metadata.jsonl").open("a") as file:
        file.write('[1, 2]\n{"file_name": "2.png", "pat')
    it = reader(
        tmp_path,
        findings="labels",
        meanings={"Mass": Finding(name="Lung Lesion", detail="mass")},
        finding_columns={"edema": "Edema"},
        age="age",
    )
    plan = it.plan()
    assert [item.id for item in plan.excluded] == [
        "train/metadata.jsonl row 3",
        "train/metadata.jsonl row 4",
    ]
    assert plan.unmapped == {Unmapped("finding", "Odd", "no meaning is given"): 1}
    (one,), (two,) = (radiographs_of(it, item) for item in plan.items)
    assert [(f.name, f.state) for f in one.findings] == [
        ("Lung Lesion", "present"),
        ("Edema", "present"),
    ]
    assert [(f.name, f.state) for f in two.findings] == [("Edema", "absent")]
    assert (one.patient_id, one.age, two.age) == ("7", 63, None)
    with pytest.raises(InputError, match=r"metadata\.jsonl has no column 'sex'; it has: file_name"):
        reader(tmp_path, sex="sex").plan()


def test_mistakes_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"image_folder\.root .*expected metadata\.csv here or"):
        reader(tmp_path).plan()
    write(tmp_path / "train", "metadata.csv", [{"file_name": "0.png", "patient": "1", "key": "k"}])
    write(tmp_path / "test", "metadata.csv", [{"file_name": "1.png", "patient": "1", "key": "k"}])
    with pytest.raises(InputError, match="patient '1' is in both train and test"):
        reader(tmp_path).plan()
    write(tmp_path / "test", "metadata.csv", [{"file_name": "1.png", "patient": "2", "key": "k"}])
    plan = reader(tmp_path, id="key").plan()
    assert [(item.id, item.reason) for item in plan.excluded] == [("k", "the id appears twice")]
    with pytest.raises(InputError, match=r"unknown split\.published 'official'"):
        reader(tmp_path, SplitRules(published="official"))
    with pytest.raises(InputError, match=r"image_folder\.masks is not possible"):
        config(tmp_path, masks=MaskTable(root=tmp_path, file="m.csv"))


def small_tree(root: Path) -> CorpusTree:
    """The corpus for the tests of bad input."""
    header = ["file_name", "patient_id", "view", "findings", "impression", "age", "sex"]
    corpus = CorpusTree("image_folder", "jpeg", root, root / "train/metadata.csv", header)
    for number in range(IMAGES):
        row = [f"{number}.jpg", f"p{number}", "PA", "Effusion", "Small effusion.", "60", "F"]
        corpus.add(f"train/{number}", f"train/{number}.jpg", row)
    return corpus
