"""NIH ChestX-ray14 (Wang et al., CVPR 2017): PNGs, mined labels, boxes, an official split."""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from roentgen.corpora.nih.boxes import SourceBox, read_boxes
from roentgen.corpora.reader import Plan, Unmapped
from roentgen.corpora.scanning.file_index import optional_file, wrong_root
from roentgen.corpora.scanning.rows import read_rows
from roentgen.corpora.scanning.scan import Listing, Scan, UnwantedError, wanted_view
from roentgen.corpora.scanning.value_mapping import Meanings, parse_sex
from roentgen.errors import InputError
from roentgen.imaging.boxes import place_box
from roentgen.imaging.images import Fit, encode_png, image_size, prepare_image
from roentgen.manifest import License
from roentgen.record.findings import Finding
from roentgen.record.radiograph import Box, Radiograph, Sex, Split
from roentgen.record.splits import SplitRules
from roentgen.record.views import VIEWS, View

LICENSE = License(
    name="NIH CC ChestX-ray14 terms: unrestricted use with attribution",
    data_use="Name the NIH Clinical Center and cite Wang et al., CVPR 2017.",
    may_share=True,
)
TABLES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
# "Infiltration" was mined as the word stands in reports and names no one disease. It is an opacity,
# as the CheXpert labeler has it (Irvin et al. 2019: "infiltrate" is on the mention list of Lung
# Opacity); its detail keeps the word, so that prompts can say it.
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
_SEX_COLUMNS = ("Patient Gender", "Patient Sex")
_FOLDERS = tuple(f"images_{number:03d}/images" for number in range(1, 13))
_IMAGE = re.compile(r"(\d{8})_\d{3}\.png")
_AGE = re.compile(r"0*(\d{1,3})([YMWD]?)")
_A_YEAR = {"": 1.0, "Y": 1.0, "M": 12.0, "W": 365.25 / 7, "D": 365.25}
_OLDEST = 120  # years; the first release has a patient of 414


@dataclass(frozen=True, kw_only=True)
class NihConfig:
    """NIH ChestX-ray14, whole or in part."""

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
    """What a finding label means where that shall differ; null: excluded by name."""
    views: tuple[View, ...] = VIEWS
    """The views to take."""
    view_words: dict[str, View | None] = field(default_factory=dict)
    """What further words of View Position mean; null: excluded by name."""
    whole_tree: bool = False
    """Whether all files should be here: a missing one is then a bad item."""


class NihItem(NamedTuple):
    """One image that passed the scan."""

    id: str
    patient: str
    study: str
    path: str
    split: Split
    view: View | None
    labels: str
    age: float | None
    sex: Sex | None
    boxes: tuple[SourceBox, ...]


@dataclass(frozen=True)
class NihReader:
    """Reads NIH ChestX-ray14; see `roentgen.corpora.reader.CorpusReader`."""

    config: NihConfig
    split: SplitRules
    size: int
    fit: Fit
    seed: int

    @property
    def licenses(self) -> Sequence[License]:
        """The NIH Clinical Center's terms."""
        return (LICENSE,)

    def plan(self) -> Plan:
        """Scan the tables and list the folders."""
        c = self.config
        self.split.check_published(("official",))
        table = optional_file(c.root, c.table, (*TABLES, *(f"{name}.gz" for name in TABLES)))
        if table is None:
            raise wrong_root("nih.root", c.root, f"{TABLES[0]} and images/")
        paths = _image_paths(c.root)
        if not paths:
            expected = "images/00000001_000.png or images_001/images/00000001_000.png"
            raise wrong_root("nih.root", c.root, expected)
        official = self.split.published == "official"
        published = _read_lists(c.root / c.train_list, c.root / c.test_list) if official else {}
        scan = Scan(whole=c.whole_tree)
        boxes = read_boxes(c.root / c.boxes, scan) if c.boxes is not None else {}
        for number, row in enumerate(_read_table(table), start=1):
            if row is None:
                name = f"{table.name} row {number}"
                scan.drop(name, "the row has not as many fields as the header")
                continue
            image = row["Image Index"]
            lost: list[Unmapped] = []
            try:
                item = self._plan_row(row, published, lost)
            except InputError as error:
                scan.drop(
                    image or f"row {number}", str(error), expected=isinstance(error, UnwantedError)
                )
                continue
            if image in paths:
                path, mine = f"{paths[image]}{image}", tuple(boxes.get(image, ()))
                scan.keep(item._replace(path=path, boxes=mine), lost)
            else:
                scan.missing(item.id)
        if scan.files_missing and not scan.items:
            raise wrong_root("nih.root", c.root, f"the images of {table.name}")
        return scan.plan()

    @property
    def _meanings(self) -> Meanings:
        return Meanings(MEANINGS | self.config.meanings, "|")

    def _plan_row(
        self, row: dict[str, str], published: dict[str, Split], lost: list[Unmapped]
    ) -> NihItem:
        c = self.config
        image, patient = row["Image Index"], row["Patient ID"]
        name = _IMAGE.fullmatch(image)
        if name is None:
            raise InputError("Image Index is not as 00000001_000.png")
        if not patient.isdigit() or int(patient) != int(name[1]):
            raise InputError(f"Patient ID is {patient!r}, which is not the image's patient")
        words = _VIEW_WORDS | c.view_words
        view = wanted_view(row["View Position"].strip(), words, c.views, blank=False)
        lost += self._meanings.unmapped(row["Finding Labels"])
        return NihItem(
            id=image.removesuffix(".png"),
            patient=name[1],
            study=f"{name[1]}-{row['Follow-up #']}",
            path="",
            split=self.split.of_patient(name[1], self.seed, published.get(name[1])),
            view=view,
            labels=row["Finding Labels"],
            age=_age(row["Patient Age"], lost),
            sex=parse_sex(row["sex"]),
            boxes=(),
        )

    def read(self, item: NihItem) -> list[Radiograph]:
        """Read one image and place its boxes."""
        path = self.config.root / item.path
        radiograph = Radiograph(
            id=item.id,
            patient_id=item.patient,
            study_id=item.study,
            split=item.split,
            image=encode_png(prepare_image(path, self.size, self.fit)),
            view=item.view,
            findings=tuple(self._meanings.findings(item.labels)),
            boxes=self._boxes(item, path),
            age=item.age,
            sex=item.sex,
            source="NIH ChestX-ray14",
            license=LICENSE.name,
        )
        return [radiograph]

    def _boxes(self, item: NihItem, path: Path) -> tuple[Box, ...]:
        if not item.boxes:
            return ()
        width, height = image_size(path)
        placed = [
            place_box(
                box.structure,
                *box.edges(width, height),
                width=width,
                height=height,
                size=self.size,
                fit=self.fit,
            )
            for box in item.boxes
        ]
        return tuple(box for box in placed if box is not None)


def _image_paths(root: Path) -> dict[str, str]:
    """The folder of each PNG, from the archives' folders as unpacked or put together."""
    listing = Listing(root)
    archives = [folder.removesuffix("/images") for folder in _FOLDERS]
    paths: dict[str, str] = {}
    for folder in ("", "images", *archives, *_FOLDERS):
        prefix = f"{folder}/" if folder else ""
        for name in listing.names(folder):
            if name.endswith(".png"):
                paths.setdefault(name, prefix)
    return paths


def _read_table(table: Path) -> Iterator[dict[str, str] | None]:
    """The rows; the column of the sex, which has two names, becomes "sex"."""
    columns, sex = (*_COLUMNS, "View Position"), _SEX_COLUMNS[0]
    with suppress(InputError):
        next(read_rows(table, _SEX_COLUMNS[1:]), None)
        sex = _SEX_COLUMNS[1]
    for row in read_rows(table, (*columns, sex)):
        if row is not None:
            row["sex"] = row.pop(sex)
        yield row


def _read_lists(train: Path, test: Path) -> dict[str, Split]:
    """The official split of each patient."""
    published: dict[str, Split] = {}
    lists: tuple[tuple[Path, Split], ...] = ((train, "train"), (test, "test"))
    for path, split in lists:
        try:
            names = path.read_text(encoding="utf-8-sig").split()
        except OSError as error:
            raise InputError(
                f"cannot read the official split's {path}: {error.strerror}; "
                "use split.fractions, or get the list"
            ) from None
        except UnicodeDecodeError:
            raise InputError(f"{path} is not text in UTF-8") from None
        for name in names:
            patient = name.partition("_")[0]
            if published.setdefault(patient, split) != split:
                raise InputError(f"patient {patient} is in both {train.name} and {test.name}")
    return published


def _age(cell: str, lost: list[Unmapped]) -> float | None:
    """Years from "58", or from the first release's "058Y", "013M" and "005D"."""
    match = _AGE.fullmatch(cell.strip())
    age = round(int(match[1]) / _A_YEAR[match[2]], 2) if match else None
    if age is None or age > _OLDEST:
        if cell.strip():
            lost.append(Unmapped("age", cell.strip(), "no age in years: left unknown"))
        return None
    return age
