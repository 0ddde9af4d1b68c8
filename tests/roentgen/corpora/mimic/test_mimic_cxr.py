"""MIMIC-CXR: films as DICOM, their record list, and reports beside them."""

import csv
import gzip
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roentgen.corpora.mimic.mimic_cxr import MimicCxrConfig, MimicCxrReader
from roentgen.corpora.reader import CorpusPlan, Unmapped
from roentgen.errors import InputError, UnwantedError
from roentgen.imaging.images import decode
from roentgen.record.radiograph import Radiograph
from roentgen.record.splits import SplitRules
from tests.roentgen.corpora.corpus_tree import IMAGES as TREE_IMAGES
from tests.roentgen.corpora.corpus_tree import CorpusTree, write_table

pydicom = pytest.importorskip("pydicom")

P19 = SplitRules(published="p19")
IMAGES = [
    ("10000032", "50414267", "PA"),
    ("10000032", "50414267", "LATERAL"),
    ("19000019", "50000003", "LAO"),
    ("19000019", "50000004", ""),
]


def image_id(number: int) -> str:
    return "-".join(f"{number * 7919 + part:08x}" for part in range(5))


def write_dicom(path: Path, view: str, date: str) -> None:
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    film = pydicom.Dataset()
    film.file_meta = meta
    film.SOPClassUID, film.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1", "1.2.3"
    film.ViewPosition, film.StudyDate, film.Modality = view, date, "DX"
    film.Rows, film.Columns, film.SamplesPerPixel = 12, 16, 1
    film.PhotometricInterpretation = "MONOCHROME2"
    film.BitsAllocated, film.BitsStored, film.HighBit, film.PixelRepresentation = 16, 12, 11, 0
    pixels = np.random.default_rng(0).integers(0, 4096, (12, 16), dtype=np.uint16)
    film.PixelData = pixels.tobytes()
    film.save_as(path, enforce_file_format=True)


def write_csv(path: Path, header: list[str], rows: list[list[Any]]) -> None:
    with gzip.open(path, "wt", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def tree(root: Path) -> MimicCxrConfig:
    records, studies = [], []
    for number, (subject, study, view) in enumerate(IMAGES):
        patient = f"files/p{subject[:2]}/p{subject}"
        path = f"{patient}/s{study}/{image_id(number)}.dcm"
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        write_dicom(root / path, view, "21800506")
        records.append([subject, study, image_id(number), path])
        studies.append([subject, study, f"{patient}/s{study}.txt"])
    (root / "files/p10/p10000032/s50414267.txt").write_text(
        " FINAL REPORT\n IMPRESSION:\n\n No acute process.\n"
    )
    studies.append(["10000032", "59999999", "files/p10/p10000032/s59999999.txt"])
    header = ["subject_id", "study_id", "dicom_id", "path"]
    write_csv(root / "cxr-record-list.csv.gz", header, records)
    write_csv(root / "cxr-study-list.csv.gz", ["subject_id", "study_id", "path"], studies)
    return MimicCxrConfig(root=root)


def reader(config: MimicCxrConfig, split: SplitRules = P19) -> MimicCxrReader:
    return MimicCxrReader(config, split, 8, "pad", 0)


def films(it: MimicCxrReader, items: Iterable[Any]) -> list[Radiograph]:
    return [one for item in items for one in it.read(item) if isinstance(one, Radiograph)]


def reasons(plan: CorpusPlan) -> list[tuple[str, str, bool]]:
    return [(item.id, item.reason, not item.is_bad) for item in plan.excluded]


def test_views_come_from_the_headers(tmp_path: Path) -> None:
    it = reader(tree(tmp_path))
    plan = it.plan()
    assert len(plan.items) == 4
    assert reasons(plan) == [("s59999999", "study without images", True)]
    front, side = films(it, plan.items[:2])
    assert (front.view, side.view) == ("PA", "LATERAL")
    assert front.report is not None
    assert front.report.impression == "No acute process."
    assert decode(front.image).shape == (8, 8)
    with pytest.raises(UnwantedError, match="view 'LAO' is excluded by name"):
        it.read(plan.items[2])
    with pytest.raises(UnwantedError, match="view not given"):
        it.read(plan.items[3])
    blank = reader(replace(it.config, accept_unknown_view=True))
    assert films(blank, plan.items[3:])[0].view is None
    assert [item.split for item in plan.items] == ["train", "train", "test", "test"]


def test_views_and_dates_come_from_the_metadata(tmp_path: Path) -> None:
    config = tree(tmp_path / "dicom")
    header = ["dicom_id", "subject_id", "study_id", "ViewPosition", "StudyDate"]
    rows = [[image_id(i), *IMAGES[i][:2], IMAGES[i][2], "21800506"] for i in (0, 2, 3)]
    write_csv(tmp_path / "metadata.csv.gz", header, rows)
    patients = ["subject_id", "gender", "anchor_age", "anchor_year"]
    write_csv(tmp_path / "patients.csv.gz", patients, [["10000032", "F", 52, 2179]])
    tables: dict[str, Any] = {
        name: tmp_path / f"{name}.csv.gz" for name in ("metadata", "patients")
    }
    it = reader(replace(config, **tables))
    plan = it.plan()
    assert [item.view for item in plan.items] == ["PA"]
    assert films(it, plan.items)[0].age == 53
    assert reasons(plan)[:3] == [
        (image_id(1), "the table of metadata does not have it", False),
        (image_id(2), "view 'LAO' is excluded by name", True),
        (image_id(3), "view not given", True),
    ]


def test_a_date_that_gives_no_age_is_told(tmp_path: Path) -> None:
    config = tree(tmp_path / "dicom")
    patients = ["subject_id", "gender", "anchor_age", "anchor_year"]
    write_csv(tmp_path / "patients.csv.gz", patients, [["10000032", "F", 52, 2279]])
    it = reader(replace(config, patients=tmp_path / "patients.csv.gz"))
    film, lost = it.read(it.plan().items[0])
    assert isinstance(film, Radiograph)
    assert (film.age, film.sex) == (None, "F")
    assert lost == Unmapped("age", "2227 to 21800506", "no possible age: left unknown")


def test_the_official_split_needs_its_table(tmp_path: Path) -> None:
    config = tree(tmp_path)
    official = SplitRules(published="official")
    with pytest.raises(InputError, match=r"needs mimic_cxr\.split"):
        reader(config, official).plan()
    rows = [["a", "50414267", "10000032", "validate"], ["b", "50000003", "19000019", "train"]]
    write_csv(tmp_path / "s.csv.gz", ["dicom_id", "study_id", "subject_id", "split"], rows)
    plan = reader(replace(config, split=tmp_path / "s.csv.gz"), official).plan()
    assert [item.split for item in plan.items] == ["validate"] * 2 + ["train"] * 2


def test_bad_paths_and_films_are_bad_items(tmp_path: Path) -> None:
    config = tree(tmp_path)
    good = f"files/p10/p10000032/s50414267/{image_id(0)}.dcm"
    rows = [
        ["10000032", "50414267", image_id(0), good],
        ["10000032", "50414267", image_id(7), "../outside.dcm"],
        ["10000032", "50414267", image_id(8), good.replace(image_id(0), image_id(8))],
    ]
    header = ["subject_id", "study_id", "dicom_id", "path"]
    write_csv(tmp_path / "cxr-record-list.csv.gz", header, rows)
    it = reader(replace(config, studies=None))
    plan = it.plan()
    assert reasons(plan) == [
        (image_id(7), "path '../outside.dcm' leads out of the corpus folder", False),
        (image_id(8), "file missing", True),
    ]
    for content in (b"", (tmp_path / good).read_bytes()[:200], b"no film at all"):
        (tmp_path / good).write_bytes(content)
        with pytest.raises(InputError):
            it.read(plan.items[0])


def test_a_wrong_root_is_told(tmp_path: Path) -> None:
    (tmp_path / "2.0.0").mkdir()
    config = MimicCxrConfig(root=tmp_path)
    with pytest.raises(
        InputError, match=r"mimic_cxr\.root .*expected files/ and cxr.*found 2\.0\.0"
    ):
        reader(config).plan()


def mimic_names(number: int) -> tuple[str, str, str, str]:
    """Subject, study, image and the path to it without suffix."""
    subject, study = f"1{number % 10}{number:06d}", f"5{number:07d}"
    image = "-".join(f"{number * 7919 + part:08x}" for part in range(5))
    return subject, study, image, f"files/p{subject[:2]}/p{subject}/s{study}/{image}"


TREE_REPORT = "FINAL REPORT\n FINDINGS:\n\n Clear lungs.\n\n IMPRESSION:\n\n No acute process.\n"


def small_tree(root: Path) -> CorpusTree:
    """The corpus for the tests of bad input."""
    header = ["subject_id", "study_id", "dicom_id", "path"]
    corpus = CorpusTree("mimic_cxr", "dicom", root, root / "cxr-record-list.csv.gz", header)
    studies = []
    for number in range(TREE_IMAGES):
        subject, study, image, path = mimic_names(number)
        corpus.add(image, f"{path}.dcm", [subject, study, image, f"{path}.dcm"])
        report = f"{path.rpartition('/')[0]}.txt"
        (root / report).write_text(TREE_REPORT)
        studies.append([subject, study, report])
    write_table(root / "cxr-study-list.csv.gz", ["subject_id", "study_id", "path"], studies)
    corpus.arguments = ["--mimic_cxr.patients=null", "--mimic_cxr.admissions=null"]
    return corpus
