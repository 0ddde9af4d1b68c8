"""SIIM-ACR pneumothorax: films with masks in run-lengths, at most one finding.

The films are from ChestX-ray14 with new names and say nothing of the patient, so each film counts
as a patient, and one of ChestX-ray14 may be the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from roentgen.corpora.reader import Plan, Unmapped
from roentgen.corpora.scanning.dicom_header import film_header
from roentgen.corpora.scanning.file_index import FileIndex, optional_file, wrong_root
from roentgen.corpora.scanning.rows import column_names, read_rows
from roentgen.corpora.scanning.scan import Scan
from roentgen.errors import InputError
from roentgen.imaging.images import Fit, encode_png, image_size, prepare_image
from roentgen.imaging.run_length import NO_MASK, place_runs
from roentgen.manifest import License
from roentgen.record.findings import Finding, State
from roentgen.record.radiograph import Radiograph, Split
from roentgen.record.splits import SplitRules

LICENSE = License(
    name="SIIM-ACR Pneumothorax Segmentation challenge terms",
    data_use="Non-commercial research and education only; do not pass the images on.",
    may_share=False,
)
_TABLES = ("train-rle.csv", "stage_2_train.csv")
_FOLDERS = ("dicom-images-train", "stage_2_images")
_MASKS = (" EncodedPixels", "EncodedPixels")  # the published column begins with a space
_DRAWN_ON = (1024, 1024)  # pixels


@dataclass(frozen=True, kw_only=True)
class SiimAcrConfig:
    """Where the SIIM-ACR challenge's files are."""

    root: Path
    """Folder of the challenge's files."""
    table: str | None = None
    """The table of masks, below `root`; null: train-rle.csv or stage_2_train.csv."""
    images: str | None = None
    """The films' folder, below `root`; null: dicom-images-train, stage_2_images or `root`."""
    whole_tree: bool = False
    """Whether all films should be here: a missing one is then a bad item."""


class SiimAcrItem(NamedTuple):
    """One film."""

    id: str
    split: Split
    path: str  # below the films' folder
    masks: tuple[str, ...]  # run-lengths; none: no pneumothorax


@dataclass(frozen=True)
class SiimAcrReader:
    """Reads SIIM-ACR; see `roentgen.corpora.reader.CorpusReader`."""

    config: SiimAcrConfig
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
        root = self.config.root
        table = optional_file(root, self.config.table, _TABLES)
        if table is None:
            raise wrong_root("siim_acr.root", root, " or ".join(_TABLES))
        films = FileIndex(self._images)
        if not len(films):
            raise wrong_root("siim_acr.images", self._images, "<ImageId>.dcm in any folder")
        scan = Scan(whole=self.config.whole_tree)
        runs = _runs_by_film(table, scan)
        for film, texts in runs.items():
            try:
                masks = _masks(texts)
                path = films.find(film)
            except InputError as error:
                scan.drop(film, str(error))
                continue
            split = self.split.of_patient(film, self.seed, None)
            if path is None:
                scan.missing(film)
            else:
                scan.keep(SiimAcrItem(film, split, path, masks))
        if scan.files_missing and not scan.items:
            raise wrong_root("siim_acr.images", self._images, f"the films of {table.name}")
        for film in films.others(runs.keys()):
            scan.drop(film, f"not in {table.name}", expected=True)
        return scan.plan()

    def read(self, item: SiimAcrItem) -> list[Radiograph | Unmapped]:
        """Read one film."""
        path = self._images / item.path
        pixels = prepare_image(path, self.size, self.fit)
        header = film_header(path)
        mask = None
        if item.masks:
            header.check_upright()
            mask = place_runs(item.masks, _DRAWN_ON, image_size(path), self.size, self.fit)
        state: State = "present" if item.masks else "absent"
        return [
            Radiograph(
                id=item.id,
                patient_id=item.id,
                study_id=item.id,
                split=item.split,
                image=encode_png(pixels),
                view=header.view,
                findings=(Finding(name="Pneumothorax", state=state),),
                masks={"pneumothorax": mask} if mask else {},
                age=header.age,
                sex=header.sex,
                source="SIIM-ACR",
                license=LICENSE.name,
            ),
            *header.unmapped,
        ]


def _runs_by_film(table: Path, scan: Scan) -> dict[str, list[str]]:
    """The masks of each film; a film has a row for each."""
    names = column_names(table)
    column = next((name for name in _MASKS if name in names), _MASKS[0])
    runs: dict[str, list[str]] = {}
    for number, row in enumerate(read_rows(table, ["ImageId", column]), start=1):
        if row is None:
            scan.drop(f"row {number}", "the row has not as many fields as the header")
        elif not row["ImageId"].strip():
            scan.drop(f"row {number}", "ImageId is blank")
        else:
            runs.setdefault(row["ImageId"].strip(), []).append(row[column].strip())
    return runs


def _masks(texts: Sequence[str]) -> tuple[str, ...]:
    """The run-lengths of a film. Raises InputError for a blank, and for none beside a mask."""
    if "" in texts:
        raise InputError("EncodedPixels is blank: expected pairs of numbers, or -1 for no mask")
    masks = tuple(dict.fromkeys(text for text in texts if text != NO_MASK))
    if masks and len(set(texts)) > len(masks):
        raise InputError(f"one row has a mask, another {NO_MASK} for none")
    return masks
