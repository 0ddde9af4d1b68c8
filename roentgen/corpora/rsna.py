"""RSNA pneumonia detection: images with boxes around lung opacities.

The images are from ChestX-ray14. `patientId` names an image, not a patient; RSNA's mapping file
names the image of ChestX-ray14, and with it the patient. Without it a patient's images may be in
several splits.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from roentgen.corpora.image_corpus import ImageCorpusConfig, ImageCorpusReader, ImageItem
from roentgen.corpora.reader import CorpusPlan, Unmapped
from roentgen.corpora.scanning.dicom_header import read_radiograph_header
from roentgen.corpora.scanning.rows import read_rows
from roentgen.corpora.scanning.scan import Scan, optional_file
from roentgen.errors import InputError
from roentgen.imaging.boxes import SourceBox, place_boxes
from roentgen.imaging.images import image_size
from roentgen.manifest import License
from roentgen.record.finding import Finding
from roentgen.record.radiograph import Radiograph
from roentgen.untrusted_files import read_json

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
_DRAWN_ON = (1024, 1024)  # pixels
_BOX = ("x", "y", "width", "height")


@dataclass(frozen=True, kw_only=True)
class RsnaConfig(ImageCorpusConfig):
    """RSNA: the folder of the challenge's files; null: under their published names."""

    table: str | None = None
    """The boxes; null: stage_2_train_labels.csv."""
    classes: str | None = None
    """The classes of images; null: stage_2_detailed_class_info.csv if it is there."""
    images: str | None = None
    """Folder of the images; null: stage_2_train_images, or `root`."""
    patients: str | None = None
    """RSNA's mapping to ChestX-ray14; null: pneumonia-challenge-dataset-mappings_2018.json if it
    is there, else each image counts as a patient."""


@dataclass
class _BoxRows:
    """The rows of one image."""

    targets: set[str] = field(default_factory=set)
    boxes: list[SourceBox] = field(default_factory=list)
    wrong: str | None = None

    def add(self, row: dict[str, str]) -> None:
        self.targets.add(row["Target"])
        if any(row[name] for name in _BOX):
            try:
                x, y, width, height = (float(row[name]) for name in _BOX)
            except ValueError:
                self.wrong = "a box is not four numbers"
            else:
                self.boxes.append(SourceBox("lung opacity", x, y, x + width, y + height))

    def check(self, *, normal: bool) -> None:
        """Raise InputError for rows that contradict each other."""
        if self.wrong:
            raise InputError(self.wrong)
        if self.targets not in ({"0"}, {"1"}):
            raise InputError(f"Target is {' and '.join(sorted(self.targets))!r}: expected 0 or 1")
        if (self.targets == {"1"}) != bool(self.boxes):
            raise InputError(f"Target is {min(self.targets)} with {len(self.boxes)} boxes")
        if self.boxes and normal:
            raise InputError("the class is Normal, but there is a box")


@dataclass(frozen=True)
class RsnaReader(ImageCorpusReader[RsnaConfig]):
    """Reads RSNA."""

    section = "rsna"
    source = "RSNA"
    license = LICENSE

    def plan(self) -> CorpusPlan:
        """The images that the table names."""
        c = self.config
        table = optional_file(c.root, c.table, _TABLES)
        if table is None:
            raise self.wrong_root(" or ".join(_TABLES))
        files = self.index_images(c.images, _FOLDERS, "<patientId>.dcm")
        scan = Scan(complete=c.complete)
        found = _rows_by_image(table, scan)
        classes = optional_file(c.root, c.classes, _CLASSES)
        classified = read_rows(classes, ["patientId", "class"]) if classes else ()
        normal = {row["patientId"] for row in classified if row and row["class"] == "Normal"}
        mapping = optional_file(c.root, c.patients, _PATIENTS)
        patients = _patients(mapping) if mapping else {name: name for name in found}
        for name, rows in found.items():
            with scan.excluding(name):
                is_normal = name in normal
                rows.check(normal=is_normal)
                if name not in patients:
                    raise InputError(f"no patient in {_PATIENTS[0]}")
                item = ImageItem(
                    id=name,
                    patient=patients[name],
                    study=name,
                    split=self.split_of(patients[name]),
                    path=files.find(name),
                    findings=_findings(has_box=bool(rows.boxes), normal=is_normal),
                    boxes=tuple(rows.boxes),
                )
                scan.accept(item)
        return self.finish_plan(scan, files, table, found.keys())

    def read(self, item: ImageItem) -> list[Radiograph | Unmapped]:
        """Read one image."""
        image, header = self.image(item), read_radiograph_header(self.path(item))
        if item.boxes:
            header.check_upright()
            width, height = image_size(self.path(item))
            if width != height:
                raise InputError(f"the image is {width}x{height}: its boxes were drawn on a square")
        boxes = place_boxes(item.boxes, _DRAWN_ON, self.size, self.fit)
        return [self.radiograph(item, image, boxes=boxes, **header.known), *header.unmapped]


def _findings(*, has_box: bool, normal: bool) -> tuple[Finding, ...]:
    """With a box: Lung Opacity present, Pneumonia uncertain. Without: Pneumonia absent.

    The boxes are around opacities that a radiologist, without history or other images, found
    suspicious for pneumonia: "annotations of possible pneumonia" (Shih et al., Radiology:
    Artificial Intelligence 2019). In images without a box, by the challenge, pneumonia was
    determined to be absent; those of the class "No Lung Opacity / Not Normal" may have other
    opacities, so only in the class Normal is Lung Opacity absent.
    """
    if has_box:
        return (Finding(name="Lung Opacity"), Finding(name="Pneumonia", state="uncertain"))
    pneumonia = Finding(name="Pneumonia", state="absent")
    if not normal:
        return (pneumonia,)
    return (Finding(name="No Finding"), Finding(name="Lung Opacity", state="absent"), pneumonia)


def _rows_by_image(table: Path, scan: Scan) -> dict[str, _BoxRows]:
    found: dict[str, _BoxRows] = {}
    for place, row in scan.rows(table, ["patientId", *_BOX, "Target"]):
        if row["patientId"]:
            found.setdefault(row["patientId"], _BoxRows()).add(row)
        else:
            scan.exclude(place, "patientId is blank")
    return found


def _patients(mapping: Path) -> dict[str, str]:
    """The ChestX-ray14 patient of each image, as the NIH reader names patients."""
    try:
        entries = read_json(mapping)
        names = {str(entry["subset_img_id"]): str(entry["img_id"]) for entry in entries}
    except (OSError, ValueError, TypeError, KeyError):
        raise InputError(
            f"{mapping} cannot be read: expected a JSON list with subset_img_id and img_id"
        ) from None
    matches = {image: re.match(r"\d{8}(?=_\d{3})", name) for image, name in names.items()}
    return {image: match[0] for image, match in matches.items() if match}
