"""CheXpert's and MIMIC-CXR-JPG's layouts, read by torchxrayvision and by our own readers."""

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from roentgen.corpora.chexpert.chexpert import ChexpertConfig, ChexpertReader
from roentgen.corpora.mimic.mimic_cxr_jpg import MimicCxrJpgConfig, MimicCxrJpgReader
from roentgen.dataset.dataset import open_dataset
from roentgen.dataset.schema import SCHEMA
from roentgen.imaging.images import decode
from roentgen.record.finding import FINDING_NAMES, states
from roentgen.record.radiograph import Radiograph
from roentgen.record.splits import SplitRules
from sample.exports.serialization import FIELD_TYPES, FIELDS

VALUES = {"present": 1.0, "absent": 0.0, "uncertain": np.nan}
EXCLUDED = ("patient/4", "patient/5")
SMALL = "CheXpert-v1.0-small"


def rows_of(path: Path) -> list[dict[str, str]]:
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


def radiographs(folder: Path) -> dict[str, Radiograph]:
    dataset = open_dataset(folder)
    return {r.id: r for name in dataset.splits for r in dataset.split(name)}


def xrv_labels(radiograph: Radiograph, names: list[str], *, keeps_devices: bool) -> list[float]:
    """What the layout's documentation says the labels of torchxrayvision are."""
    found = states(radiograph.findings)
    cells: dict[str, float] = {name: VALUES[state] for name, state in found.items()}
    full = ["Pleural Effusion" if name == "Effusion" else name for name in names]
    if found.get("No Finding") == "present":
        cells |= {name: 0.0 for name in full if not (keeps_devices and name == "Support Devices")}
    return [cells.get(name, np.nan) for name in full]


def same_picture(shown: np.ndarray, radiograph: Radiograph) -> None:
    """torchxrayvision's image [1, H, W] in [-1024, 1024] is the radiograph's, but for JPEG."""
    gray = (shown[0] / 1024 + 1) / 2 * 255
    truth = decode(radiograph.image)
    assert gray.shape == truth.shape
    assert np.abs(gray - truth).max() <= 8
    assert np.abs(gray - truth).mean() < 1


@pytest.mark.parametrize("image", ["jpg", "png"])
def test_torchxrayvision_reads_chexpert(
    exported: Callable[..., Path], set_to_export: Path, image: str
) -> None:
    xrv = pytest.importorskip("torchxrayvision")
    out = exported(chexpert={"image": image}) / "chexpert"
    truth = radiographs(set_to_export)
    ids = {row["Path"]: row["id"] for row in rows_of(out / "identities.csv")}
    seen = []
    for table, split in (("train", "train"), ("valid", "validate")):
        data = xrv.datasets.CheX_Dataset(
            imgpath=str(out / SMALL),
            csvpath=str(out / SMALL / f"{table}.csv"),
            views=["PA", "AP", "L"],
            unique_patients=False,
        )
        for number in range(len(data)):
            row, sample = data.csv.iloc[number], data[number]
            radiograph = truth[ids[row["Path"]]]
            seen.append(radiograph.id)
            names = list(data.pathologies)
            wanted = xrv_labels(radiograph, names, keeps_devices=True)
            np.testing.assert_array_equal(sample["lab"], wanted)
            same_picture(sample["img"], radiograph)
            assert radiograph.split == split
            assert row["view"] == {"LATERAL": "L"}.get(radiograph.view or "", radiograph.view)
            assert (row["sex_female"], row["sex_male"]) == (
                radiograph.sex == "F",
                radiograph.sex == "M",
            )
            assert row["age_years"] == int(radiograph.age or 0)
            assert (out / row["Path"]).is_file()
    kept = [name for name, r in truth.items() if r.split != "test" and name[:9] not in EXCLUDED]
    assert seen == kept


def test_chexperts_table_is_as_published(exported: Callable[..., Path]) -> None:
    out = exported(chexpert={"release": "CheXpert-v1.0"}) / "chexpert/CheXpert-v1.0"
    lines = (out / "train.csv").read_text().splitlines()
    published = (
        "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Enlarged Cardiomediastinum,Cardiomegaly,"
        "Lung Opacity,Lung Lesion,Edema,Consolidation,Pneumonia,Atelectasis,Pneumothorax,"
        "Pleural Effusion,Pleural Other,Fracture,Support Devices"
    )
    assert lines[0] == published
    first = rows_of(out / "train.csv")[0]["Path"].split("/")
    assert first[0] == "CheXpert-v1.0"
    patient = f"CheXpert-v1.0/train/{first[2]}"
    assert lines[1:5] == [
        f"{patient}/study1/view1_frontal.jpg,Female,63,Frontal,PA,,,,,,-1.0,,,,,1.0,,,",
        f"{patient}/study1/view2_lateral.jpg,Female,63,Lateral,,,,,,,-1.0,,,,,1.0,,,",
        f"{patient}/study1/view3_frontal.jpg,Female,64,Frontal,PA,,,,,,0.0,,,,,,,,1.0",
        f"{patient}/study2/view1_frontal.jpg,Female,66,Frontal,AP,1.0,,,,,,,,,,,,,1.0",
    ]
    assert len(rows_of(out / "test.csv")) == 2


def test_our_reader_reads_chexpert(exported: Callable[..., Path], set_to_export: Path) -> None:
    out = exported(chexpert={"image": "png"}) / "chexpert"
    truth = radiographs(set_to_export)
    ids = {
        row["Path"].removeprefix(f"{SMALL}/").removesuffix(".png"): row["id"]
        for row in rows_of(out / "identities.csv")
    }
    config = ChexpertConfig(root=out / SMALL, complete=True)
    reader = ChexpertReader(config, SplitRules(published="official"), 40, "pad", 0)
    plan = reader.plan()
    assert plan.excluded == []
    patients: dict[str, str] = {}
    for item in plan.items:
        (film,) = reader.read(item)
        radiograph = truth[ids[film.id]]
        assert states(film.findings) == states(radiograph.findings)
        assert (film.view, film.split, film.sex) == (
            radiograph.view,
            radiograph.split,
            radiograph.sex,
        )
        assert film.age == radiograph.age
        assert patients.setdefault(film.patient_id, radiograph.patient_id) == radiograph.patient_id
        np.testing.assert_array_equal(decode(film.image)[4:36], decode(radiograph.image))
    assert len(plan.items) == 7
    assert len(set(patients.values())) == len(patients)


def test_torchxrayvision_reads_mimic_cxr_jpg(
    exported: Callable[..., Path], set_to_export: Path
) -> None:
    xrv = pytest.importorskip("torchxrayvision")
    out = exported(mimic_cxr_jpg={}) / "mimic_cxr_jpg"
    truth = radiographs(set_to_export)
    ids = {row["dicom_id"]: row["id"] for row in rows_of(out / "identities.csv")}
    data = xrv.datasets.MIMIC_Dataset(
        imgpath=str(out / "files"),
        csvpath=str(out / "mimic-cxr-2.0.0-chexpert.csv.gz"),
        metacsvpath=str(out / "mimic-cxr-2.0.0-metadata.csv.gz"),
        views=["PA", "AP", "LATERAL", "UNKNOWN"],
        unique_patients=False,
    )
    seen = []
    for number in range(len(data)):
        row, sample = data.csv.iloc[number], data[number]
        radiograph = truth[ids[row["dicom_id"]]]
        seen.append(radiograph.id)
        names = list(data.pathologies)
        wanted = xrv_labels(radiograph, names, keeps_devices=False)
        np.testing.assert_array_equal(sample["lab"], wanted)
        same_picture(sample["img"], radiograph)
        assert row["view"] == (radiograph.view or "UNKNOWN")
        assert (row["Rows"], row["Columns"]) == (32, 40)
        assert row["PerformedProcedureStepDescription"] == (
            "SYNTHETIC CHEST RADIOGRAPH"
            if radiograph.synthesis
            else pytest.approx(np.nan, nan_ok=True)
        )
    assert sorted(seen) == sorted(name for name in truth if not name.startswith("patient/5"))


def test_our_reader_reads_mimic_cxr_jpg(exported: Callable[..., Path], set_to_export: Path) -> None:
    out = exported(mimic_cxr_jpg={"quality": 100}) / "mimic_cxr_jpg"
    truth = radiographs(set_to_export)
    identities = rows_of(out / "identities.csv")
    ids = {row["dicom_id"]: row["id"] for row in identities}
    config = MimicCxrJpgConfig(
        root=out, accept_unknown_view=True, complete=True, patients=out / "patients.csv.gz"
    )
    reader = MimicCxrJpgReader(config, SplitRules(published="official"), 40, "pad", 0)
    plan = reader.plan()
    assert plan.excluded == []
    patients: dict[str, str] = {}
    studies: dict[str, Any] = {}
    for item in plan.items:
        (film,) = reader.read(item)
        radiograph = truth[ids[film.id]]
        assert states(film.findings) == states(radiograph.findings)
        assert (film.view, film.split, film.sex) == (
            radiograph.view,
            radiograph.split,
            radiograph.sex,
        )
        assert film.age == (None if radiograph.age is None else int(radiograph.age))
        assert patients.setdefault(film.patient_id, radiograph.patient_id) == radiograph.patient_id
        said = (radiograph.study_id, states(radiograph.findings))
        assert studies.setdefault(film.study_id, said) == said
    assert len(plan.items) == 10
    assert len(set(patients.values())) == len(patients)
    # Three images of the first study, of which one has other labels than the two.
    first = [row["study_id"] for row in identities if row["study"] == "patient/0.ä b"]
    assert first[0] == first[1] != first[2]


def test_jpegs_say_that_they_are_synthetic(
    exported: Callable[..., Path], set_to_export: Path
) -> None:
    out = exported(mimic_cxr_jpg={}) / "mimic_cxr_jpg"
    truth = radiographs(set_to_export)
    for row in rows_of(out / "identities.csv"):
        subject, study = row["subject_id"], row["study_id"]
        name = f"files/p{subject[:2]}/p{subject}/s{study}/{row['dicom_id']}.jpg"
        radiograph = truth[row["id"]]
        with Image.open(out / name) as opened:
            assert opened.mode == "L"
            comment = opened.info.get("comment")
        if radiograph.synthesis is None:
            assert comment is None
        else:
            assert comment is not None
            said = json.loads(comment)
            assert said["Description"].startswith("synthetic")
            assert said["Prompt"] == radiograph.synthesis.prompt
            assert said["Seed"] == str(radiograph.synthesis.seed)
            assert said["Model"] == "0123456789abcdef"


def test_every_field_of_the_record_is_exported_with_its_type() -> None:
    record = set(SCHEMA.names) - {"image", "masks", "report", "synthesis"}
    assert record < set(FIELDS)
    assert len(set(FIELDS)) == len(FIELDS)
    numbers = {name: kind for name, kind in FIELD_TYPES.items() if name not in FINDING_NAMES}
    assert numbers == {
        **dict.fromkeys(("seed", "steps", "cache_interval", "mask_seed"), int),
        **dict.fromkeys(("age", "guidance_scale", "guidance_rescale", "conditioning_scale"), float),
        "synthetic": bool,
    }
    assert {FIELD_TYPES[name] for name in FINDING_NAMES} == {float}
