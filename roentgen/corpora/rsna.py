"""RSNA pneumonia detection: films with boxes around lung opacities.

The films are from ChestX-ray14. `patientId` names a film, not a patient; RSNA's mapping file says
which film of ChestX-ray14 each one is, and with it the patient. Without it a patient's films may
be in several splits.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from roentgen.corpora.reader import Plan, Unmapped
from roentgen.corpora.scanning.dicom_header import film_header
from roentgen.corpora.scanning.file_index import FileIndex, optional_file, wrong_root
from roentgen.corpora.scanning.rows import read_rows
from roentgen.corpora.scanning.scan import Scan
from roentgen.errors import InputError
from roentgen.imaging.boxes import place_box
from roentgen.imaging.images import Fit, encode_png, image_size, prepare_image
from roentgen.manifest import License
from roentgen.record.findings import Finding
from roentgen.record.radiograph import Radiograph, Split
from roentgen.record.splits import SplitRules

LICENSE = License(
    name="RSNA Pneumonia Detection Challenge terms",
    data_use="Non-commercial research and education only; cite Wang et al. 2017 and Shih et al. "
    "2019; do not pass the images on.",
    may_share=False,
)
_TABLES = ("stage_2_train_labels.csv",)
_CLASSES = ("stage_2_detailed_class_info.csv",)
_FOLDERS = ("stage_2_train_images",)
_PATIENTS = ("pneumonia-challenge-dataset-mappings_2018.json",)
_SIDE = 1024  # pixels; the boxes are drawn on films of 1024x1024
_BOX = ("x", "y", "width", "height")


@dataclass(frozen=True, kw_only=True)
class RsnaConfig:
    """Where the RSNA challenge's files are, below `root`; null: under their published names."""

    root: Path
    """Folder of the challenge's files."""
    table: str | None = None
    """The boxes; null: stage_2_train_labels.csv."""
    classes: str | None = None
    """The classes of films; null: stage_2_detailed_class_info.csv if it is there."""
    images: str | None = None
    """The films' folder; null: stage_2_train_images, or `root`."""
    patients: str | None = None
    """RSNA's mapping to ChestX-ray14; null: pneumonia-challenge-dataset-mappings_2018.json if it
    is there, else each film counts as a patient."""
    whole_tree: bool = False
    """Whether all films should be here: a missing one is then a bad item."""


class RsnaItem(NamedTuple):
    """One film."""

    id: str
    patient: str
    split: Split
    path: str  # below the films' folder
    boxes: tuple[tuple[float, float, float, float], ...]  # left, top, right, bottom; none: target 0
    normal: bool


@dataclass
class _Rows:
    """What the table says of a film."""

    targets: set[str] = field(default_factory=set)
    boxes: list[tuple[float, float, float, float]] = field(default_factory=list)
    wrong: str | None = None

    def add(self, row: dict[str, str]) -> None:
        self.targets.add(row["Target"])
        if any(row[name] for name in _BOX):
            try:
                x, y, width, height = (float(row[name]) for name in _BOX)
            except ValueError:
                self.wrong = "a box has something else than four numbers"
            else:
                self.boxes.append((x, y, x + width, y + height))

    def check(self, *, normal: bool) -> None:
        """Raise InputError where the rows contradict each other."""
        if self.wrong:
            raise InputError(self.wrong)
        if self.targets not in ({"0"}, {"1"}):
            raise InputError(f"Target is {' and '.join(sorted(self.targets))!r}: expected 0 or 1")
        if (self.targets == {"1"}) != bool(self.boxes):
            raise InputError(f"Target is {min(self.targets)} with {len(self.boxes)} boxes")
        if self.boxes and normal:
            raise InputError("the class is Normal, but there is a box")


@dataclass(frozen=True)
class RsnaReader:
    """Reads RSNA; see `roentgen.corpora.reader.CorpusReader`."""

    config: RsnaConfig
    split: SplitRules
    size: int
    fit: Fit
    seed: int

    def __post_init__(self) -> None:
        self.split.check_published(())

    @property
    def licenses(self) -> Sequence[License]:
        """The challenge's terms."""
        return (LICENSE,)

    @property
    def _images(self) -> Path:
        root = self.config.root
        return optional_file(root, self.config.images, _FOLDERS) or root

    def plan(self) -> Plan:
        """The films that the table names."""
        c = self.config
        table = optional_file(c.root, c.table, _TABLES)
        if table is None:
            raise wrong_root("rsna.root", c.root, " or ".join(_TABLES))
        films = FileIndex(self._images)
        if not len(films):
            raise wrong_root("rsna.images", self._images, "<patientId>.dcm")
        scan = Scan(whole=c.whole_tree)
        found = _rows_by_film(table, scan)
        classes = optional_file(c.root, c.classes, _CLASSES)
        normal = _normal_films(classes) if classes else frozenset()
        mapping = optional_file(c.root, c.patients, _PATIENTS)
        patients = _patients(mapping) if mapping else {film: film for film in found}
        for film, rows in found.items():
            try:
                rows.check(normal=film in normal)
                if film not in patients:
                    raise InputError(f"no patient in {_PATIENTS[0]}")
                path = films.find(film)
            except InputError as error:
                scan.drop(film, str(error))
                continue
            patient, boxes = patients[film], tuple(rows.boxes)
            split = self.split.of_patient(patient, self.seed, None)
            if path is None:
                scan.missing(film)
            else:
                scan.keep(RsnaItem(film, patient, split, path, boxes, film in normal))
        if scan.files_missing and not scan.items:
            raise wrong_root("rsna.images", self._images, f"the films of {table.name}")
        for film in films.others(found.keys()):
            scan.drop(film, f"not in {table.name}", expected=True)
        return scan.plan()

    def read(self, item: RsnaItem) -> list[Radiograph | Unmapped]:
        """Read one film."""
        path = self._images / item.path
        pixels = prepare_image(path, self.size, self.fit)
        header = film_header(path)
        if item.boxes:
            header.check_upright()
        width, height = image_size(path)
        if item.boxes and width != height:
            raise InputError(f"the film is {width}x{height}: its boxes were drawn on a square")
        square = {"width": _SIDE, "height": _SIDE, "size": self.size}
        placed = [place_box("lung opacity", *box, **square, fit=self.fit) for box in item.boxes]
        return [
            Radiograph(
                id=item.id,
                patient_id=item.patient,
                study_id=item.id,
                split=item.split,
                image=encode_png(pixels),
                view=header.view,
                findings=_findings(item),
                boxes=tuple(box for box in placed if box is not None),
                age=header.age,
                sex=header.sex,
                source="RSNA",
                license=LICENSE.name,
            ),
            *header.unmapped,
        ]


def _findings(item: RsnaItem) -> tuple[Finding, ...]:
    """A box is there: Lung Opacity present, Pneumonia uncertain. None: Pneumonia absent.

    The boxes are around opacities that a radiologist, without history or other films, found
    suspicious for pneumonia: "annotations of possible pneumonia" (Shih et al., Radiology:
    Artificial Intelligence 2019). Of films without one the challenge says that pneumonia was
    determined not to be there; those of the class "No Lung Opacity / Not Normal" may have other
    opacities, so only in the class Normal is Lung Opacity absent.
    """
    if item.boxes:
        return (Finding(name="Lung Opacity"), Finding(name="Pneumonia", state="uncertain"))
    pneumonia = Finding(name="Pneumonia", state="absent")
    if not item.normal:
        return (pneumonia,)
    return (Finding(name="No Finding"), Finding(name="Lung Opacity", state="absent"), pneumonia)


def _rows_by_film(table: Path, scan: Scan) -> dict[str, _Rows]:
    found: dict[str, _Rows] = {}
    for number, row in enumerate(read_rows(table, ["patientId", *_BOX, "Target"]), start=1):
        if row is None:
            scan.drop(f"row {number}", "the row has not as many fields as the header")
        elif not row["patientId"]:
            scan.drop(f"row {number}", "patientId is blank")
        else:
            found.setdefault(row["patientId"], _Rows()).add(row)
    return found


def _normal_films(table: Path) -> frozenset[str]:
    rows = filter(None, read_rows(table, ["patientId", "class"]))
    return frozenset(row["patientId"] for row in rows if row["class"] == "Normal")


def _patients(mapping: Path) -> dict[str, str]:
    """The ChestX-ray14 patient of each film, as the NIH reader names patients."""
    try:
        entries = json.loads(mapping.read_bytes())
        names = {str(entry["subset_img_id"]): str(entry["img_id"]) for entry in entries}
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        raise InputError(
            f"{mapping} cannot be read: expected a JSON list with subset_img_id and img_id"
        ) from None
    matches = {film: re.match(r"\d{8}(?=_\d{3})", name) for film, name in names.items()}
    return {film: match[0] for film, match in matches.items() if match}
