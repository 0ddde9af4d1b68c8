"""MIMIC-CXR-JPG 2.0.0 and 2.1.0 (physionet.org/content/mimic-cxr-jpg): JPEGs, labels, metadata."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from roentgen.corpora.mimic.patients import read_patients
from roentgen.corpora.mimic.reports import default_reports, open_reports
from roentgen.corpora.mimic.studies import (
    LABEL_COLUMNS,
    MimicItem,
    MimicReader,
    MimicRow,
    MimicSettings,
    MimicSources,
    exclude_empty_studies,
    read_labels,
    read_splits,
)
from roentgen.corpora.reader import CorpusPlan
from roentgen.corpora.scanning.scan import FolderListing, Scan, first_of
from roentgen.errors import InputError, require
from roentgen.record.finding import FindingName
from roentgen.record.radiograph import Radiograph

METADATA_COLUMNS = ("dicom_id", "subject_id", "study_id", "ViewPosition", "StudyDate")
# The radiologist's labels of 2.1.0 have no "No Finding", and another name for Lung Opacity.
TEST_COLUMNS: dict[FindingName, str] = {
    name: "Airspace Opacity" if name == "Lung Opacity" else name
    for name in LABEL_COLUMNS
    if name != "No Finding"
}


@dataclass(frozen=True, kw_only=True)
class MimicCxrJpgConfig(MimicSettings):
    """MIMIC-CXR-JPG, complete or in part."""

    root: Path
    """The folder of one version: files/ and the tables."""
    metadata: str = "mimic-cxr-2.0.0-metadata.csv.gz"
    """Table of the images (both versions have it under this name); unpacked (.csv) serves too."""
    split: str = "mimic-cxr-2.0.0-split.csv.gz"
    """Table of the official split."""
    labels: Literal["chexpert", "negbio"] | None = "chexpert"
    """The labeler whose table is read; null: no labels."""
    test_labels: str | None = None
    """Table of a radiologist's labels, which replace the labeler's in their studies:
    mimic-cxr-2.1.0-test-set-labeled.csv."""
    reports: Path | None = None
    """MIMIC-CXR's reports: mimic-cxr-reports.zip, or a folder with it unpacked; null: none."""

    def __post_init__(self) -> None:
        require(
            self.reports is not None or not self.require_report,
            "mimic_cxr_jpg.require_report needs mimic_cxr_jpg.reports",
        )


@dataclass(frozen=True)
class MimicCxrJpgReader(MimicReader[MimicCxrJpgConfig]):
    """Reads MIMIC-CXR-JPG."""

    section = "mimic_cxr_jpg"
    source = "MIMIC-CXR-JPG"

    def gives_section(self, section: str) -> bool:
        """Whether there are reports."""
        return self.config.reports is not None

    def plan(self) -> CorpusPlan:
        """Scan the tables and list the folders."""
        c = self.config
        files = FolderListing(c.root)
        metadata = _table(c.root, c.metadata)
        if metadata is None or not files.names("files"):
            raise self.wrong_root(f"files/ and {c.metadata}")
        scan = Scan(complete=c.complete)
        studies: set[str] = set()
        sources = self._sources(scan)
        self.scan_images(scan, self._rows(metadata, scan, studies), files, sources)
        if scan.finds_no_file:
            raise self.wrong_root("images as files/p10/p10000032/s50414267/<id>.jpg")
        exclude_empty_studies(scan, sources.labels, studies)
        return scan.plan()

    def _rows(self, metadata: Path, scan: Scan, studies: set[str]) -> Iterator[MimicRow]:
        for _, row in scan.rows(metadata, METADATA_COLUMNS):
            image, subject, study, view, date = row.values()
            studies.add(study)
            path = f"files/p{subject[:2]}/p{subject}/s{study}/{image}.jpg"
            yield MimicRow(image, subject, study, path, view, date)

    def _sources(self, scan: Scan) -> MimicSources:
        c = self.config
        published = None
        if self.split.published == "official":
            published = read_splits(_required_table(c.root, c.split))
        labels = {}
        if c.labels is not None:
            labels = read_labels(_required_table(c.root, f"mimic-cxr-2.0.0-{c.labels}.csv.gz"))
        if c.test_labels is not None:
            labels |= read_labels(_required_table(c.root, c.test_labels), TEST_COLUMNS)
        return MimicSources(
            published=published,
            labels=labels,
            patients=read_patients(c.patients, c.admissions, scan),
            reports=open_reports(self._reports) if self._reports else None,
        )

    @property
    def _reports(self) -> Path | None:
        given = self.config.reports
        return default_reports(given) if given is not None and given.is_dir() else given

    def read(self, item: MimicItem) -> list[Radiograph]:
        """Read one image and its report."""
        return [self.mimic_radiograph(item, self._reports, item.view, item.date)]


def _table(root: Path, name: str) -> Path | None:
    """The table, or the same one unpacked."""
    return first_of(root, (name, name.removesuffix(".gz")))


def _required_table(root: Path, name: str) -> Path:
    path = _table(root, name)
    if path is None:
        raise InputError(f"no such table: {root / name}")
    return path
