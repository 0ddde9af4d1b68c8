"""VinDr-CXR: three readers' marks become one finding each, their boxes lie on the film."""

import gzip
import importlib.util
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from roentgen.corpora.reader import Unmapped
from roentgen.corpora.vindr import VindrConfig, VindrReader, merge_readings
from roentgen.errors import InputError
from roentgen.imaging.images import decode
from roentgen.record.radiograph import Radiograph
from roentgen.record.splits import Fractions, SplitRules
from tests.roentgen.corpora.corpus_tree import HALVES, IMAGES, CorpusTree

OFFICIAL = SplitRules(published="official")
_FOUND = importlib.util.find_spec("torchxrayvision")
DATA = Path(_FOUND.origin).parent / "data" if _FOUND and _FOUND.origin else Path("absent")
needs_tables = pytest.mark.skipif(not DATA.is_dir(), reason="needs torchxrayvision's data")
KAGGLE = "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max"


def film(path: Path, **tags: Any) -> None:
    """A DICOM of 200x150, MONOCHROME1, bright in columns 60 to 99 and rows 30 to 79."""
    pixels = np.full((150, 200), 235, np.uint8)
    pixels[30:80, 60:100] = 35
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(path, {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    data.Modality = "DX"
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME1"
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit, data.PixelRepresentation = 7, 0
    data.PixelData = pixels.tobytes()
    for name, value in tags.items():
        setattr(data, name, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)


def reader(root: Path, split: SplitRules = OFFICIAL, **config: Any) -> VindrReader:
    return VindrReader(VindrConfig(root=root, **config), split, 50, "pad", 0)


def films(it: VindrReader, items: Iterable[Any]) -> list[Radiograph]:
    return [one for item in items for one in it.read(item) if isinstance(one, Radiograph)]


def told(findings: Any) -> dict[str, str]:
    return {finding.name: finding.state for finding in findings}


def test_kaggle_rows_become_findings_and_boxes(tmp_path: Path) -> None:
    rows = [
        "a,Pleural effusion,10,R1,60,30,100,80",
        "a,Pleural effusion,10,R2,62,28,100,80",
        "a,Cardiomegaly,3,R3,10,10,190,140",
        "a,Aortic enlargement,0,R3,10,10,190,140",
        "b,No finding,14,R1,,,,",
        "b,No finding,14,R2,,,,",
        "b,Odd,99,R3,1,1,5,5",
    ]
    (tmp_path / "train.csv").write_text("\n".join([KAGGLE, *rows]) + "\n")
    film(tmp_path / "train" / "a.dicom", PatientAge="000Y", PatientSex="M")
    film(tmp_path / "train" / "b.dicom")
    it = reader(tmp_path)
    plan = it.plan()
    assert not plan.excluded
    assert plan.unmapped == {
        Unmapped("finding", "Aortic enlargement", "excluded by name"): 1,
        Unmapped("finding", "Odd", "no meaning is given"): 1,
    }
    assert it.read(plan.items[0])[1] == Unmapped("age", "000Y", "no known age: left unknown")
    a, b = films(it, plan.items)
    absent = dict.fromkeys(("Atelectasis", "Consolidation", "Pneumothorax"), "absent")
    assert told(a.findings) == absent | {"Pleural Effusion": "present", "Cardiomegaly": "uncertain"}
    assert told(b.findings)["No Finding"] == "present"
    assert (a.split, a.sex, a.age) == ("train", "M", None)
    assert [box.structure for box in a.boxes] == [
        *("pleural effusion", "pleural effusion"),
        *("cardiomegaly", "aortic enlargement"),
    ]
    rows_lit, columns = np.nonzero(decode(a.image) >= 128)
    box = a.boxes[0]
    seen = (columns.min(), rows_lit.min(), columns.max() + 1, rows_lit.max() + 1)
    assert (box.left, box.top, box.right, box.bottom) == pytest.approx(seen, abs=1)


def test_physionet_labels_outweigh_the_boxes(tmp_path: Path) -> None:
    folder = tmp_path / "annotations"
    folder.mkdir()
    (folder / "annotations_train.csv").write_text(
        "image_id,rad_id,class_name,x_min,y_min,x_max,y_max\n"
        "a,R1,Nodule/Mass,60,30,100,80\na,R2,No finding,,,,\na,R3,No finding,,,,\n"
    )
    (folder / "image_labels_train.csv").write_text(
        "image_id,rad_id,Nodule/Mass,Pneumonia,Other diseases,No finding\n"
        "a,R1,1,1,0,0\na,R2,0.0,1,0,0\na,R3,0,0,0,1\nb,R1,0,2,0,0\n"
    )
    (folder / "annotations_test.csv").write_text(
        "image_id,class_name,x_min,y_min,x_max,y_max\nc,Pneumothorax,60,30,100,80\n"
    )
    for name in ("train/a", "train/b", "test/c", "test/d"):
        film(tmp_path / f"{name}.dicom")
    plan = reader(tmp_path).plan()
    assert [(item.id, item.split, told(item.findings)) for item in plan.items] == [
        ("a", "train", {"Lung Lesion": "uncertain", "Pneumonia": "present"}),
        (
            "c",
            "test",
            dict.fromkeys(("Atelectasis", "Cardiomegaly", "Consolidation"), "absent")
            | {"Pleural Effusion": "absent", "Pneumothorax": "present"},
        ),
    ]
    assert {item.id: item.reason for item in plan.excluded} == {
        "b": "Pneumonia is '2': expected 1, 0 or blank",
        "d": "not in annotations_test.csv",
    }


def test_readings_are_merged_by_majority() -> None:
    def merge(*words: set[str]) -> dict[str, str]:
        return told(merge_readings({f"R{i}": w for i, w in enumerate(words)}, ()))

    assert merge({"Edema"}, {"Edema"}, set()) == {"Edema": "present"}
    assert merge({"Edema"}, set(), set()) == {"Edema": "uncertain"}
    # Two readers, two words, one finding.
    assert merge({"Infiltration"}, {"Lung Opacity"}, set()) == {"Lung Opacity": "present"}
    assert merge({"No finding"}, {"Edema"}, {"Edema"}) == {"Edema": "present"}
    (both,) = merge_readings({"R1": {"Lung cavity"}, "R2": {"Lung tumor"}}, ())
    assert both.detail is None
    (alike,) = merge_readings({"R1": {"Rib fracture"}, "R2": {"Rib fracture"}}, ())
    assert alike.detail == "rib fracture"
    with pytest.raises(InputError, match="No finding beside a finding"):
        merge({"No finding", "Edema"})


def test_bad_rows_files_and_roots_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"vindr\.root .*expected annotations/annotations_train"):
        reader(tmp_path).plan()
    rows = ["a,Edema,3,R1,1,x,5,5", ",Edema,3,R1,,,,", "c,Edema,3,R1,1,1,900,5", "d,Edema,3,R1,,,,"]
    (tmp_path / "train.csv").write_text("\n".join([KAGGLE, *rows]) + "\n")
    with pytest.raises(InputError, match=r"expected train/ or test/ with <image_id>\.dicom"):
        reader(tmp_path).plan()
    for name in "ac":
        film(tmp_path / "train" / f"{name}.dicom", PatientOrientation=["L", "F"])
    it = reader(tmp_path)
    plan = it.plan()
    assert {item.id: (item.reason, not item.is_bad) for item in plan.excluded} == {
        "train.csv row 2": ("image_id is blank", False),
        "a": ("a box of Edema is not four numbers", False),
        "d": ("file missing", True),
    }
    with pytest.raises(InputError, match="reaches beyond its image of 200x150"):
        it.read(plan.items[0])
    film(tmp_path / "train" / "c.dicom", PatientOrientation=["R", "F"])
    with pytest.raises(InputError, match="the image is turned"):
        it.read(plan.items[0])
    (tmp_path / "train.csv").write_text("image_id,class,rad_id\n")
    with pytest.raises(InputError, match=r"train\.csv has no column 'class_name'"):
        it.plan()


@needs_tables
def test_the_real_table_is_merged(tmp_path: Path) -> None:
    table = gzip.decompress((DATA / "vinbigdata-train.csv.gz").read_bytes())
    lines = table.decode().splitlines()
    names = sorted({line.split(",")[0] for line in lines[1:]})
    (tmp_path / "train.csv").write_bytes(table)
    (tmp_path / "train").mkdir()
    for name in names[::5]:
        (tmp_path / "train" / f"{name}.dicom").touch()
    rules = SplitRules(fractions=Fractions(train=0.8, validate=0.1, test=0.1))
    plan = reader(tmp_path, rules).plan()
    assert (len(plan.items), len(plan.excluded)) == (3000, 12000)
    states = Counter((f.name, f.state) for item in plan.items for f in item.findings)
    # Counted by hand from the table: every film has three readers.
    votes: dict[str, dict[str, set[str]]] = {}
    for line in lines[1:]:
        film_id, word, _, rater, *_ = line.split(",")
        votes.setdefault(film_id, {}).setdefault(word, set()).add(rater)
    for word, name in (("Cardiomegaly", "Cardiomegaly"), ("Nodule/Mass", "Lung Lesion")):
        count = Counter(len(votes[film_id].get(word, ())) for film_id in names[::5])
        assert states[name, "present"] == count[2] + count[3]
        assert states[name, "uncertain"] == count[1]
    normal = sum(len(votes[film_id].get("No finding", ())) == 3 for film_id in names[::5])
    assert states["No Finding", "present"] == normal


def small_tree(root: Path) -> CorpusTree:
    """The corpus for the tests of bad input."""
    header = ["image_id", "class_name", "class_id", "rad_id", "x_min", "y_min", "x_max", "y_max"]
    corpus = CorpusTree("vindr", "dicom", root, root / "train.csv", header)
    for number in range(IMAGES):
        row = [f"f{number}", "No finding", "14", "R1", "", "", "", ""]
        corpus.add(f"f{number}", f"train/f{number}.dicom", row)
    corpus.arguments = [HALVES]
    return corpus
