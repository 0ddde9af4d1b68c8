"""SIIM-ACR pneumothorax: images with masks in run-lengths, at most one finding.

The images are from ChestX-ray14 with new names that do not tell the patient, so each image counts
as a patient, and an image of ChestX-ray14 may be the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from roentgen.corpora.image_corpus import (
    ImageCorpusConfig,
    ImageCorpusReader,
    ImageItem,
    visible_masks,
)
from roentgen.corpora.reader import CorpusPlan, Unmapped
from roentgen.corpora.scanning.dicom_header import read_radiograph_header
from roentgen.corpora.scanning.rows import column_names
from roentgen.corpora.scanning.scan import Scan, optional_file
from roentgen.errors import InputError
from roentgen.imaging.images import image_size
from roentgen.imaging.run_length import NO_MASK, place_runs
from roentgen.manifest import License
from roentgen.record.finding import Finding, State
from roentgen.record.radiograph import Radiograph

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
class SiimAcrConfig(ImageCorpusConfig):
    """SIIM-ACR: the folder of the challenge's files."""

    table: str | None = None
    """The table of masks, below `root`; null: train-rle.csv or stage_2_train.csv."""
    images: str | None = None
    """Folder of the images, below `root`; null: dicom-images-train, stage_2_images or `root`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SiimAcrItem(ImageItem):
    """One image."""

    masks: tuple[str, ...]  # run-lengths; none: no pneumothorax


@dataclass(frozen=True)
class SiimAcrReader(ImageCorpusReader[SiimAcrConfig]):
    """Reads SIIM-ACR."""

    section = "siim_acr"
    source = "SIIM-ACR"
    license = LICENSE

    def plan(self) -> CorpusPlan:
        """The images that the table names."""
        c = self.config
        table = optional_file(c.root, c.table, _TABLES)
        if table is None:
            raise self.wrong_root(" or ".join(_TABLES))
        files = self.index_images(c.images, _FOLDERS, "<ImageId>.dcm in any folder")
        scan = Scan(complete=c.complete)
        runs = _runs_by_image(table, scan)
        for name, texts in runs.items():
            with scan.excluding(name):
                masks = _masks(texts)
                state: State = "present" if masks else "absent"
                item = SiimAcrItem(
                    id=name,
                    patient=name,
                    study=name,
                    split=self.split_of(name),
                    path=files.find(name),
                    findings=(Finding(name="Pneumothorax", state=state),),
                    masks=masks,
                )
                scan.accept(item)
        return self.finish_plan(scan, files, table, runs.keys())

    def read(self, item: SiimAcrItem) -> list[Radiograph | Unmapped]:
        """Read one image."""
        path = self.path(item)
        image, header = self.image(item), read_radiograph_header(path)
        masks: dict[str, bytes | None] = {}
        if item.masks:
            header.check_upright()
            mask = place_runs(item.masks, _DRAWN_ON, image_size(path), self.size, self.fit)
            masks = {"pneumothorax": mask}
        shown, empty = visible_masks(masks)
        radiograph = self.radiograph(item, image, masks=shown, **header.known)
        return [radiograph, *header.unmapped, *empty]


def _runs_by_image(table: Path, scan: Scan) -> dict[str, list[str]]:
    """The masks of each image, which has a row for each."""
    names = column_names(table)
    column = next((name for name in _MASKS if name in names), _MASKS[0])
    runs: dict[str, list[str]] = {}
    for place, row in scan.rows(table, ["ImageId", column]):
        if row["ImageId"].strip():
            runs.setdefault(row["ImageId"].strip(), []).append(row[column].strip())
        else:
            scan.exclude(place, "ImageId is blank")
    return runs


def _masks(texts: Sequence[str]) -> tuple[str, ...]:
    """The run-lengths of an image. Raises InputError for a blank, and for none beside a mask."""
    if "" in texts:
        raise InputError("EncodedPixels is blank: expected pairs of numbers, or -1 for no mask")
    masks = tuple(dict.fromkeys(text for text in texts if text != NO_MASK))
    if masks and len(set(texts)) > len(masks):
        raise InputError(f"one row has a mask, another {NO_MASK} for none")
    return masks
