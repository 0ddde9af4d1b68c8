"""NIH ChestX-ray14 (Wang et al., CVPR 2017): PNGs, mined labels, boxes, an official split."""

import csv
import math
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from roentgen.corpora.image_corpus import (
    ImageCorpusConfig,
    ImageCorpusReader,
    ImageItem,
    ViewSettings,
)
from roentgen.corpora.reader import CorpusPlan, Unmapped
from roentgen.corpora.scanning.rows import column_names, csv_rows, open_text
from roentgen.corpora.scanning.scan import FolderListing, MissingFileError, Scan, optional_file
from roentgen.corpora.scanning.value_mapping import Meanings, parse_sex, years_of_age_string
from roentgen.errors import InputError
from roentgen.imaging.boxes import SourceBox, place_boxes
from roentgen.imaging.images import image_size
from roentgen.manifest import License
from roentgen.record.finding import Finding
from roentgen.record.radiograph import Box, Radiograph, Split, View
from roentgen.untrusted_files import read_bounded

LICENSE = License(
    name="NIH CC ChestX-ray14 terms: unrestricted use with attribution",
    data_use="Name the NIH Clinical Center and cite Wang et al., CVPR 2017.",
    may_share=True,
)
_LARGEST_LIST = 1 << 26  # bytes; the published ones have 2 million
TABLES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
# "Infiltration" was mined as a word of reports and names no single disease. It is an opacity, as in
# the CheXpert labeler (Irvin et al. 2019: "infiltrate" is on the mention list of Lung Opacity); its
# detail is "infiltrate", so that prompts can use it.
MEANINGS: dict[str, Finding | None] = {
    "No Finding": Finding(name="No Finding"),
    "Atelectasis": Finding(name="Atelectasis"),
    "Cardiomegaly": Finding(name="Cardiomegaly"),
    "Consolidation": Finding(name="Consolidation"),
    "Edema": Finding(name="Edema"),
    "Effusion": Finding(name="Pleural Effusion"),
    "Infiltration": Finding(name="Lung Opacity", detail="infiltrate"),
    "Mass": Finding(name="Lung Lesion", detail="mass"),
    "Nodule": Finding(name="Lung Lesion", detail="nodule"),
    "Pleural_Thickening": Finding(name="Pleural Other", detail="pleural thickening"),
    "Pneumonia": Finding(name="Pneumonia"),
    "Pneumothorax": Finding(name="Pneumothorax"),
    "Emphysema": None,
    "Fibrosis": None,
    "Hernia": None,
}
_VIEW_WORDS: dict[str, View | None] = {"PA": "PA", "AP": "AP"}
_COLUMNS = ("Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age")
_VIEW_COLUMN = "View Position"
_SEX_COLUMNS = ("Patient Sex", "Patient Gender")  # two names of one column
_FOLDERS = tuple(f"images_{number:03d}/images" for number in range(1, 13))
_IMAGE = re.compile(r"(\d{8})_\d{3}\.png")
_DRAWN_ON = 1024  # pixels a side of the images on which a radiologist drew the boxes
_BOX_HEADER = ["Image Index", "Finding Label", "Bbox [x"]
_STRUCTURES = {
    "Atelectasis": "atelectasis",
    "Cardiomegaly": "cardiomegaly",
    "Effusion": "pleural effusion",
    "Infiltrate": "infiltration",
    "Mass": "mass",
    "Nodule": "nodule",
    "Pneumonia": "pneumonia",
    "Pneumothorax": "pneumothorax",
}


@dataclass(frozen=True, kw_only=True)
class NihConfig(ImageCorpusConfig, ViewSettings):
    """NIH ChestX-ray14, complete or in part."""

    root: Path
    """The folder with the tables and images/ or images_001/ to images_012/."""
    table: str | None = None
    """The table of the images; null: Data_Entry_2017_v2020.csv, else Data_Entry_2017.csv."""
    boxes: str | None = "BBox_List_2017.csv"
    """The table of boxes; null: none."""
    train_list: str = "train_val_list.txt"
    """The official list of training images."""
    test_list: str = "test_list.txt"
    """The official list of test images."""
    meanings: dict[str, Finding | None] = field(default_factory=dict)
    """Finding labels with another meaning than ours; null: excluded by name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NihItem(ImageItem):
    """One image; its labels are as in the table."""

    labels: str


@dataclass(frozen=True)
class NihReader(ImageCorpusReader[NihConfig]):
    """Reads NIH ChestX-ray14."""

    section = "nih"
    source = "NIH ChestX-ray14"
    license = LICENSE
    published_splits = ("official",)

    def plan(self) -> CorpusPlan:
        """Scan the tables and list the folders."""
        c = self.config
        table = optional_file(c.root, c.table, (*TABLES, *(f"{name}.gz" for name in TABLES)))
        if table is None:
            raise self.wrong_root(f"{TABLES[0]} and images/")
        paths = _image_paths(c.root)
        if not paths:
            raise self.wrong_root("images/00000001_000.png or images_001/images/00000001_000.png")
        official = self.split.published == "official"
        published = _read_lists(c.root / c.train_list, c.root / c.test_list) if official else {}
        scan = Scan(complete=c.complete)
        boxes = _read_boxes(c.root / c.boxes, scan) if c.boxes is not None else {}
        header = column_names(table)
        sex = next((name for name in _SEX_COLUMNS if name in header), _SEX_COLUMNS[-1])
        for place, row in scan.rows(table, (*_COLUMNS, _VIEW_COLUMN, sex)):
            image = row["Image Index"]
            with scan.excluding(image.removesuffix(".png") or place):
                lost: list[Unmapped] = []
                item = self._plan_row(row, published, lost)
                if image not in paths:
                    raise MissingFileError("file missing")
                path, mine = f"{paths[image]}{image}", tuple(boxes.get(image, ()))
                scan.accept(replace(item, path=path, boxes=mine), lost)
        if scan.finds_no_file:
            raise self.wrong_root(f"the images of {table.name}")
        return scan.plan()

    @property
    def _meanings(self) -> Meanings:
        return Meanings(MEANINGS | self.config.meanings, "|")

    def _plan_row(
        self, row: dict[str, str], published: dict[str, Split], lost: list[Unmapped]
    ) -> NihItem:
        image, patient = row["Image Index"], row["Patient ID"]
        name = _IMAGE.fullmatch(image)
        if name is None:
            raise InputError("Image Index is not as 00000001_000.png")
        if not patient.isdigit() or int(patient) != int(name[1]):
            raise InputError(f"Patient ID is {patient!r}, which is not the image's patient")
        view = self.config.view_of(row[_VIEW_COLUMN].strip(), _VIEW_WORDS)
        lost += self._meanings.unmapped(row["Finding Labels"])
        return NihItem(
            id=image.removesuffix(".png"),
            patient=name[1],
            study=f"{name[1]}-{row['Follow-up #']}",
            split=self.split_of(name[1], published.get(name[1])),
            path="",
            view=view,
            labels=row["Finding Labels"],
            age=_age(row["Patient Age"], lost),
            sex=parse_sex(next(row[name] for name in _SEX_COLUMNS if name in row)),
        )

    def read(self, item: NihItem) -> list[Radiograph]:
        """Read one image and place its boxes."""
        image, boxes = self.image(item), self._boxes(item)
        findings = tuple(self._meanings.findings(item.labels))
        return [self.radiograph(item, image, findings=findings, boxes=boxes)]

    def _boxes(self, item: NihItem) -> tuple[Box, ...]:
        if not item.boxes:
            return ()
        size = width, height = image_size(self.path(item))
        across, down = width / _DRAWN_ON, height / _DRAWN_ON
        boxes = [
            SourceBox(name, left * across, top * down, right * across, bottom * down)
            for name, left, top, right, bottom in item.boxes
        ]
        return place_boxes(boxes, size, self.size, self.fit)


def _image_paths(root: Path) -> dict[str, str]:
    """The folder of each PNG, from the archives' folders as unpacked or put together."""
    listing = FolderListing(root)
    archives = [folder.removesuffix("/images") for folder in _FOLDERS]
    paths: dict[str, str] = {}
    for folder in ("", "images", *archives, *_FOLDERS):
        prefix = f"{folder}/" if folder else ""
        for name in listing.names(folder):
            if name.endswith(".png"):
                paths.setdefault(name, prefix)
    return paths


def _read_lists(train: Path, test: Path) -> dict[str, Split]:
    """The official split of each patient."""
    published: dict[str, Split] = {}
    lists: tuple[tuple[Path, Split], ...] = ((train, "train"), (test, "test"))
    for path, split in lists:
        try:
            names = read_bounded(path, _LARGEST_LIST).decode("utf-8-sig").split()
        except OSError as error:
            raise InputError(
                f"cannot read the official split's {path}: {error.strerror}; "
                "use split.fractions, or get the list"
            ) from None
        except UnicodeDecodeError:
            raise InputError(f"{path} is not text in UTF-8: save it so") from None
        for name in names:
            patient = name.partition("_")[0]
            if published.setdefault(patient, split) != split:
                raise InputError(f"patient {patient} is in both {train.name} and {test.name}")
    return published


def _age(cell: str, lost: list[Unmapped]) -> float | None:
    """Years from "58", or from the first release's "058Y", "013M" and "005D" (and its "414")."""
    age = years_of_age_string(cell.strip())
    if age is None and cell.strip():
        lost.append(Unmapped("age", cell.strip(), "no age in years: left unknown"))
    return age


def _read_boxes(table: Path, scan: Scan) -> dict[str, list[SourceBox]]:
    """The boxes of each image; a row that is no box is excluded.

    The header "Bbox [x,y,w,h]" is four columns, and has three more that no row needs to have.
    """
    boxes: dict[str, list[SourceBox]] = {}
    try:
        with open_text(table) as file:
            rows = csv_rows(file.readline)
            header = next(rows, [])
            if header[:3] != _BOX_HEADER:
                expected = ",".join(_BOX_HEADER)
                raise InputError(f"{table} begins with {','.join(header)[:60]!r}, not {expected!r}")
            for number, row in enumerate(rows, start=1):
                if not row:
                    continue
                with scan.excluding(f"{table.name} row {number}"):
                    boxes.setdefault(row[0].strip(), []).append(_box(row))
    except FileNotFoundError:
        raise InputError(f"no such table: {table}; set nih.boxes to null to do without") from None
    except (OSError, csv.Error) as error:
        raise InputError(f"table {table} cannot be read: {error}") from None
    except UnicodeDecodeError:
        raise InputError(f"table {table} is not text in UTF-8: save it so") from None
    return boxes


def _box(row: list[str]) -> SourceBox:
    if len(row) < 6 or row[1] not in _STRUCTURES:
        raise InputError(f"no box of a known finding: {','.join(row[1:6])!r}")
    try:
        left, top, width, height = map(float, row[2:6])
    except ValueError:
        raise InputError(f"a box is not four numbers: {','.join(row[2:6])!r}") from None
    if not all(map(math.isfinite, (left, top, width, height))) or width <= 0 or height <= 0:
        raise InputError(f"a box has no area: {','.join(row[2:6])!r}")
    return SourceBox(_STRUCTURES[row[1]], left, top, left + width, top + height)
