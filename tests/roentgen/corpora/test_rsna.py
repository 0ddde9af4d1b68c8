"""RSNA: rows become boxes, headers become view, sex and age, the mapping becomes patients."""

import csv
import io
import json
import warnings
import zipfile
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from roentgen.corpora.reader import Unmapped
from roentgen.corpora.rsna import RsnaConfig, RsnaReader
from roentgen.errors import InputError
from roentgen.imaging.images import decode
from roentgen.record.radiograph import Radiograph
from roentgen.record.splits import Fractions, SplitRules
from tests.roentgen.corpora.corpus_tree import IMAGES, CorpusTree

RULES = SplitRules(fractions=Fractions(train=0.5, validate=0, test=0.5))
_FOUND = find_spec("torchxrayvision")
DATA = Path(_FOUND.origin).parent / "data" if _FOUND and _FOUND.origin else Path("absent")
needs_tables = pytest.mark.skipif(not DATA.is_dir(), reason="needs torchxrayvision's data")
HEADER = "patientId,x,y,width,height,Target"


def film(path: Path, square: tuple[int, int, int, int] = (264, 152, 213, 379), **tags: str) -> None:
    """A 1024x1024 DICOM, bright in the square x, y, width, height."""
    pixels = np.full((1024, 1024), 20, np.uint8)
    x, y, width, height = square
    pixels[y : y + height, x : x + width] = 220
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(path, {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    data.Modality = "CR"
    data.Rows = data.Columns = 1024
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit, data.PixelRepresentation = 7, 0
    data.PixelData = pixels.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the challenge's ages ("43") break DICOM's rules
        for name, value in tags.items():
            setattr(data, name, value)
        data.save_as(path, enforce_file_format=True)


def reader(root: Path, **config: Any) -> RsnaReader:
    return RsnaReader(RsnaConfig(root=root, **config), RULES, 64, "pad", 0)


def films(it: RsnaReader, items: Iterable[Any]) -> list[Radiograph]:
    return [one for item in items for one in it.read(item) if isinstance(one, Radiograph)]


def write(root: Path, *rows: str) -> None:
    (root / "stage_2_train_labels.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    for name in {row.split(",")[0] for row in rows} - {""}:
        path = root / "stage_2_train_images" / f"{name}.dcm"
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            path.write_bytes(b"planned, not read")


def test_boxes_lie_on_the_film_and_headers_are_read(tmp_path: Path) -> None:
    images = tmp_path / "stage_2_train_images"
    film(images / "a.dcm", ViewPosition="PA", PatientSex="F", PatientAge="043Y")
    film(images / "b.dcm", ViewPosition="AP", PatientSex="O", PatientAge="148")
    write(tmp_path, "a,264.0,152.0,213.0,379.0,1", "a,562.0,152.0,256.0,453.0,1", "b,,,,,0")
    it = reader(tmp_path)
    plan = it.plan()
    a, b = films(it, plan.items)
    assert [(f.name, f.state) for f in a.findings] == [
        ("Lung Opacity", "present"),
        ("Pneumonia", "uncertain"),
    ]
    assert {f.state for f in b.findings} == {"absent"}
    assert (a.view, a.sex, a.age) == ("PA", "F", 43)
    assert (b.view, b.sex, b.age) == ("AP", None, None)
    assert it.read(plan.items[1])[1:] == [
        Unmapped("age", "148", "no known age: left unknown"),
        Unmapped("sex", "O", "no known sex: left unknown"),
    ]
    rows, columns = np.nonzero(decode(a.image) >= 120)
    first, second = a.boxes
    seen = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert (first.left, first.top, first.right, first.bottom) == pytest.approx(seen, abs=1)
    assert (second.structure, second.left) == ("lung opacity", 562 / 16)
    assert b.boxes == ()


def test_contradictions_are_excluded(tmp_path: Path) -> None:
    rows = ["a,1,1,5,5,1", "a,,,,,0", "b,1,1,5,5,0", "c,,,,,1", "d,1,1,,5,1", ",,,,,0", "e,,,,,2"]
    write(tmp_path, *rows, "f,1,1,5,5,1", "g,,,,,0")
    (tmp_path / "stage_2_detailed_class_info.csv").write_text(
        "patientId,class\nf,Normal\ng,Normal\n"
    )
    it = reader(tmp_path)
    plan = it.plan()
    assert {item.id: item.reason for item in plan.excluded} == {
        "stage_2_train_labels.csv row 6": "patientId is blank",
        "a": "Target is '0 and 1': expected 0 or 1",
        "b": "Target is 0 with 1 boxes",
        "c": "Target is 1 with 0 boxes",
        "d": "a box is not four numbers",
        "e": "Target is '2': expected 0 or 1",
        "f": "the class is Normal, but there is a box",
    }
    assert [(item.id, item.findings[0].name) for item in plan.items] == [("g", "No Finding")]
    with pytest.raises(InputError, match=r"g\.dcm"):
        it.read(plan.items[0])


def test_films_of_a_patient_stay_together(tmp_path: Path) -> None:
    names = [f"film{number}" for number in range(12)]
    write(tmp_path, *(f"{name},,,,,0" for name in names))
    assert {item.split for item in reader(tmp_path).plan().items} == {"train", "test"}
    mapping = tmp_path / "pneumonia-challenge-dataset-mappings_2018.json"
    entries = [
        {"subset_img_id": name, "img_id": f"0000001{i // 6}_{i:03d}.png"}
        for i, name in enumerate(names[:11])
    ]
    mapping.write_text(json.dumps(entries))
    plan = reader(tmp_path).plan()
    splits = {(item.patient, item.split) for item in plan.items}
    assert {patient for patient, _ in splits} == {"00000010", "00000011"}
    assert len(splits) == 2
    assert [item.id for item in plan.excluded] == ["film11"]
    mapping.write_text("{")
    with pytest.raises(InputError, match="expected a JSON list with subset_img_id"):
        reader(tmp_path).plan()


def test_wrong_folders_and_columns_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"rsna\.root .*expected stage_2_train_labels\.csv"):
        reader(tmp_path).plan()
    write(tmp_path, "a,,,,,0")
    (tmp_path / "stage_2_train_labels.csv").write_text("patientId,x,y,w,height,Target\n")
    with pytest.raises(InputError, match=r"stage_2_train_labels\.csv has no column 'width'"):
        reader(tmp_path).plan()


def test_only_a_normal_film_is_without_opacities(tmp_path: Path) -> None:
    images = tmp_path / "stage_2_train_images"
    for name in "nou":
        film(images / f"{name}.dcm")
    write(tmp_path, *(f"{name},,,,,0" for name in "nou"))
    (tmp_path / "stage_2_detailed_class_info.csv").write_text(
        "patientId,class\nn,Normal\no,No Lung Opacity / Not Normal\n"
    )
    it = reader(tmp_path)
    said = [[(f.name, f.state) for f in one.findings] for one in films(it, it.plan().items)]
    no_pneumonia = ("Pneumonia", "absent")
    assert said == [
        [("No Finding", "present"), ("Lung Opacity", "absent"), no_pneumonia],
        [no_pneumonia],
        [no_pneumonia],
    ]


@needs_tables
def test_the_real_table_is_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(DATA / "kaggle_stage_2_train_labels.csv.zip") as archive:
        table = archive.read("stage_2_train_labels.csv")
    (tmp_path / "stage_2_train_labels.csv").write_bytes(table)
    some = list(csv.DictReader(io.StringIO(table.decode())))[:60]
    for row in some:
        path = tmp_path / "stage_2_train_images" / f"{row['patientId']}.dcm"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"planned, not read")
    plan = reader(tmp_path).plan()
    assert len(plan.items) + len(plan.excluded) == 26684
    assert {item.reason for item in plan.excluded} == {"file missing"}
    boxes = {item.id: tuple(box[1:] for box in item.boxes) for item in plan.items}
    assert boxes["00436515-870c-4b36-a041-de91049b9ab4"] == (
        (264.0, 152.0, 477.0, 531.0),
        (562.0, 152.0, 818.0, 605.0),
    )
    assert boxes["0004cfab-14fd-4e49-80ba-63a80b6bddd6"] == ()


def small_tree(root: Path) -> CorpusTree:
    """The corpus for the tests of bad input."""
    header = ["patientId", "x", "y", "width", "height", "Target"]
    corpus = CorpusTree("rsna", "dicom", root, root / "stage_2_train_labels.csv", header)
    for number in range(IMAGES):
        row = [f"f{number}", "", "", "", "", "0"]
        corpus.add(f"f{number}", f"stage_2_train_images/f{number}.dcm", row)
    return corpus
