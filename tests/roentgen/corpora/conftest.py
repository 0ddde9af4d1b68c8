"""A small whole tree of each corpus, as its recipe wants it, for tests of the program."""

import csv
import gzip
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

FILMS = 12
_SHARES = "--split={fractions: {train: 0.5, validate: 0.0, test: 0.5}}"
_REPORT = "FINAL REPORT\n FINDINGS:\n\n Clear lungs.\n\n IMPRESSION:\n\n No acute process.\n"
_LABELS = [
    *("No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion"),
    *("Edema", "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion"),
    *("Pleural Other", "Fracture", "Support Devices"),
]
Kind = Literal["jpeg", "png", "png16", "dicom"]


def _dicom(pixels: np.ndarray) -> bytes:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.1")
    meta.MediaStorageSOPInstanceUID = UID("1.2.3")
    film = Dataset()
    film.file_meta = meta
    film.SOPClassUID, film.SOPInstanceUID = meta.MediaStorageSOPClassUID, UID("1.2.3")
    film.Modality, film.ViewPosition, film.StudyDate = "DX", "PA", "21800506"
    film.PatientSex, film.PatientAge = "F", "052Y"
    film.Rows, film.Columns = pixels.shape
    film.SamplesPerPixel, film.PhotometricInterpretation = 1, "MONOCHROME2"
    film.BitsAllocated, film.BitsStored, film.HighBit, film.PixelRepresentation = 8, 8, 7, 0
    film.PixelData = pixels.tobytes()
    file = io.BytesIO()
    film.save_as(file, enforce_file_format=True)
    return file.getvalue()


@dataclass
class Corpus:
    """A tree: its films by id, the table that names them, and how the program is called."""

    name: str
    kind: Kind
    root: Path
    table: Path
    header: list[str]
    rows: list[list[str]] = field(default_factory=list)
    films: dict[str, Path] = field(default_factory=dict)
    arguments: list[str] = field(default_factory=list)

    def add(self, film: str, path: str, row: list[str]) -> None:
        """A film below the root, and its row."""
        self.films[film] = self.root / path
        self.films[film].parent.mkdir(parents=True, exist_ok=True)
        self.films[film].write_bytes(self.film(len(self.films)))
        self.rows.append(row)

    def film(self, number: int) -> bytes:
        """A file of 64x48 pixels of noise, another for each number."""
        pixels = np.random.default_rng(number).integers(0, 256, (48, 64), dtype=np.uint8)
        return self.encode(pixels)

    def encode(self, pixels: np.ndarray) -> bytes:
        """uint8 [H, W] as a file of this corpus."""
        if self.kind == "dicom":
            return _dicom(pixels)
        file = io.BytesIO()
        deep = pixels.astype(np.uint16) * 257
        image = Image.fromarray(deep if self.kind == "png16" else pixels)
        image.save(file, format="JPEG" if self.kind == "jpeg" else "PNG")
        return file.getvalue()

    def write(self) -> None:
        """Write the table, or write it anew."""
        write_table(self.table, self.header, self.rows)


def write_table(path: Path, header: list[str], rows: list[list[str]]) -> None:
    """A CSV, gzipped where its name says so."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows([header, *rows])
    data = text.getvalue().encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def _mimic_names(number: int) -> tuple[str, str, str, str]:
    """Subject, study, image and the path to it without suffix."""
    subject, study = f"1{number % 10}{number:06d}", f"5{number:07d}"
    image = "-".join(f"{number * 7919 + part:08x}" for part in range(5))
    return subject, study, image, f"files/p{subject[:2]}/p{subject}/s{study}/{image}"


def _mimic_cxr_jpg(root: Path) -> Corpus:
    header = ["dicom_id", "subject_id", "study_id", "ViewPosition", "StudyDate"]
    table = root / "mimic-cxr-2.0.0-metadata.csv.gz"
    corpus = Corpus("mimic_cxr_jpg", "jpeg", root, table, header)
    splits, labels, patients, races = [], [], [], []
    for number in range(FILMS):
        subject, study, image, path = _mimic_names(number)
        corpus.add(image, f"{path}.jpg", [image, subject, study, "PA", "21800506"])
        splits.append([image, study, subject, "train"])
        labels.append([subject, study, "1.0", *[""] * 13])
        patients.append([subject, "F", "52", "2180"])
        races.append([subject, "WHITE"])
        report = root / f"{path}".rpartition("/")[0]
        report.with_suffix(".txt").write_text(_REPORT)
    for name, columns, rows in (
        ("mimic-cxr-2.0.0-split.csv.gz", ["dicom_id", "study_id", "subject_id", "split"], splits),
        ("mimic-cxr-2.0.0-chexpert.csv.gz", ["subject_id", "study_id", *_LABELS], labels),
        ("patients.csv.gz", ["subject_id", "gender", "anchor_age", "anchor_year"], patients),
        ("admissions.csv.gz", ["subject_id", "race"], races),
    ):
        write_table(root / name, columns, rows)
    corpus.arguments = [
        f"--mimic_cxr_jpg.{name}={root / file}"
        for name, file in (
            ("reports", ""),
            ("patients", "patients.csv.gz"),
            ("admissions", "admissions.csv.gz"),
        )
    ]
    # All that the reader can do, where the recipe is narrower.
    corpus.arguments += ["--mimic_cxr_jpg.views=[PA, AP, LATERAL]", "--keep=null"]
    corpus.arguments += ["--split.published=official", "--split.validate_share=0"]
    return corpus


def _mimic_cxr(root: Path) -> Corpus:
    header = ["subject_id", "study_id", "dicom_id", "path"]
    corpus = Corpus("mimic_cxr", "dicom", root, root / "cxr-record-list.csv.gz", header)
    studies = []
    for number in range(FILMS):
        subject, study, image, path = _mimic_names(number)
        corpus.add(image, f"{path}.dcm", [subject, study, image, f"{path}.dcm"])
        report = f"{path.rpartition('/')[0]}.txt"
        (root / report).write_text(_REPORT)
        studies.append([subject, study, report])
    write_table(root / "cxr-study-list.csv.gz", ["subject_id", "study_id", "path"], studies)
    corpus.arguments = ["--mimic_cxr.patients=null", "--mimic_cxr.admissions=null"]
    return corpus


def _chexpert(root: Path) -> Corpus:
    header = ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *_LABELS]
    corpus = Corpus("chexpert", "jpeg", root, root / "train.csv", header)
    for number in range(FILMS):
        film = f"train/patient{number:05d}/study1/view1_frontal"
        path = f"{film}.jpg"
        said = ["Female", "60", "Frontal", "PA", "1.0", *[""] * 13]
        corpus.add(film, path, [f"CheXpert-v1.0-small/{path}", *said])
    write_table(root / "valid.csv", header, [])
    return corpus


def _nih(root: Path) -> Corpus:
    header = ["Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age"]
    header += ["Patient Gender", "View Position"]
    corpus = Corpus("nih", "png", root, root / "Data_Entry_2017_v2020.csv", header)
    for number in range(FILMS):
        name = f"{number + 1:08d}_000"
        row = [f"{name}.png", "Effusion", "0", str(number + 1), "60", "F", "PA"]
        corpus.add(name, f"images/{name}.png", row)
    corpus.arguments = [_SHARES, "--nih.boxes=null"]
    return corpus


def _padchest(root: Path) -> Corpus:
    header = ["ImageID", "ImageDir", "StudyID", "PatientID", "PatientBirth", "PatientSex_DICOM"]
    header += ["StudyDate_DICOM", "Projection", "Labels", "LabelsLocalizationsBySentence", "Report"]
    table = root / "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz"
    corpus = Corpus("padchest", "png16", root, table, header)
    for number in range(FILMS):
        said = ["20140915", "PA", "['normal']", "[['normal']]", "sin hallazg ."]
        row = [f"f{number}.png", "0", f"s{number}", f"p{number}", "1930.0", "F", *said]
        corpus.add(f"f{number}", f"0/f{number}.png", row)
    return corpus


def _vindr(root: Path) -> Corpus:
    header = ["image_id", "class_name", "class_id", "rad_id", "x_min", "y_min", "x_max", "y_max"]
    corpus = Corpus("vindr", "dicom", root, root / "train.csv", header)
    for number in range(FILMS):
        row = [f"f{number}", "No finding", "14", "R1", "", "", "", ""]
        corpus.add(f"f{number}", f"train/f{number}.dicom", row)
    corpus.arguments = [_SHARES]
    return corpus


def _open_i(root: Path) -> Corpus:
    table = root / "nlmcxr_dicom_metadata.csv.gz"
    corpus = Corpus("open_i", "png", root, table, ["imageid", "View Position"])
    (root / "ecgen-radiology").mkdir(parents=True)
    for number in range(FILMS):
        film = f"CXR{number}_IM-1"
        corpus.add(film, f"NLMCXR_png/{film}.png", [film, "PA"])
        (root / f"ecgen-radiology/{number}.xml").write_text(open_i_report(f"CXR{number}", film))
    return corpus


def open_i_report(name: str, *films: str, impression: str = "No acute process.") -> str:
    """An Open-i report in XML."""
    images = "".join(f'<parentImage id="{film}"/>' for film in films)
    section = f'<AbstractText Label="IMPRESSION">{impression}</AbstractText>'
    return f'<eCitation><uId id="{name}"/>{section}{images}</eCitation>'


def _siim_acr(root: Path) -> Corpus:
    table = root / "train-rle.csv"
    corpus = Corpus("siim_acr", "dicom", root, table, ["ImageId", " EncodedPixels"])
    for number in range(FILMS):
        path = f"dicom-images-train/s{number}/1.2.{number}.dcm"
        corpus.add(f"1.2.{number}", path, [f"1.2.{number}", " -1"])
    return corpus


def _rsna(root: Path) -> Corpus:
    header = ["patientId", "x", "y", "width", "height", "Target"]
    corpus = Corpus("rsna", "dicom", root, root / "stage_2_train_labels.csv", header)
    for number in range(FILMS):
        row = [f"f{number}", "", "", "", "", "0"]
        corpus.add(f"f{number}", f"stage_2_train_images/f{number}.dcm", row)
    return corpus


def _candid_ptx(root: Path) -> Corpus:
    header = ["filename", "SOPInstanceUID", "StudyInstanceUID", "EncodedPixels", "Report"]
    corpus = Corpus("candid_ptx", "dicom", root, root / "Pneumothorax_reports.csv", header)
    for number in range(FILMS):
        row = [f"P{number}_1", f"1.2.{number}", f"1.9.{number}", "-1", "IMPRESSION: Clear."]
        corpus.add(f"1.2.{number}", f"dataset/1.2.{number}", row)
    return corpus


def _drr_rate(root: Path) -> Corpus:
    labels = ["Medical material", "Arterial wall calcification", "Cardiomegaly"]
    labels += ["Pericardial effusion", "Coronary artery wall calcification", "Hiatal hernia"]
    labels += ["Lymphadenopathy", "Emphysema", "Atelectasis", "Lung nodule", "Lung opacity"]
    labels += ["Pulmonary fibrotic sequela", "Pleural effusion", "Mosaic attenuation pattern"]
    labels += ["Peribronchial thickening", "Consolidation", "Bronchiectasis"]
    labels += ["Interlobular septal thickening"]
    table = root / "multi_abnormality_labels/train_predicted_labels.csv"
    corpus = Corpus("drr_rate", "png", root, table, ["ImageName", *labels])
    for number in range(1, FILMS + 1):
        scan = f"train_{number}_a"
        path = f"train/AP/train_{number}/{scan}/{scan}_1.png"
        corpus.add(f"{scan}_1-ap", path, [f"{scan}_1.nii.gz", *["0"] * 18])
    corpus.arguments = ["--drr_rate.views=[AP]"]
    return corpus


def _image_folder(root: Path) -> Corpus:
    header = ["file_name", "patient_id", "view", "findings", "impression", "age", "sex"]
    corpus = Corpus("image_folder", "jpeg", root, root / "train/metadata.csv", header)
    for number in range(FILMS):
        row = [f"{number}.jpg", f"p{number}", "PA", "Effusion", "Small effusion.", "60", "F"]
        corpus.add(f"train/{number}", f"train/{number}.jpg", row)
    return corpus


_TABLE = """
output: out
size: 16
split: {fractions: {train: 0.5, validate: 0.0, test: 0.5}}
table:
  root: .
  file: films.csv.gz
  image: image
  patient_id: patient
  view: view
  licenses: [{name: CC0-1.0, data_use: null, may_share: true}]
"""


def _table(root: Path) -> Corpus:
    corpus = Corpus("table", "png", root, root / "films.csv.gz", ["image", "patient", "view"])
    for number in range(FILMS):
        corpus.add(f"a/{number}", f"a/{number}.png", [f"a/{number}.png", f"p{number}", "PA"])
    (root / "recipe.yaml").write_text(_TABLE)
    return corpus


_BUILDERS: dict[str, Callable[[Path], Corpus]] = {
    "mimic_cxr": _mimic_cxr,
    "mimic_cxr_jpg": _mimic_cxr_jpg,
    "chexpert": _chexpert,
    "nih": _nih,
    "padchest": _padchest,
    "vindr": _vindr,
    "open_i": _open_i,
    "siim_acr": _siim_acr,
    "rsna": _rsna,
    "candid_ptx": _candid_ptx,
    "drr_rate": _drr_rate,
    "image_folder": _image_folder,
    "table": _table,
}


@pytest.fixture
def make_corpus(tmp_path: Path) -> Callable[[str], Corpus]:
    """Writes the tree of a corpus into `tmp_path / "corpus"`."""

    def make(name: str) -> Corpus:
        corpus = _BUILDERS[name](tmp_path / "corpus")
        corpus.write()
        return corpus

    return make
