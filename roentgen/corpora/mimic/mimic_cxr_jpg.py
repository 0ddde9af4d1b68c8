"""MIMIC-CXR-JPG 2.0.0 and 2.1.0 (physionet.org/content/mimic-cxr-jpg): JPEGs, labels, metadata."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from roentgen.corpora.mimic.patients import read_patients
from roentgen.corpora.mimic.reports import default_reports, open_reports
from roentgen.corpora.mimic.studies import (
    LABEL_COLUMNS,
    LICENSE,
    PUBLISHED_SPLITS,
    MimicItem,
    MimicOptions,
    MimicRow,
    MimicSources,
    read_image,
    read_labels,
    read_splits,
    scan_images,
    tell_empty_studies,
)
from roentgen.corpora.reader import Plan
from roentgen.corpora.scanning.file_index import wrong_root
from roentgen.corpora.scanning.rows import read_rows
from roentgen.corpora.scanning.scan import Listing, Scan
from roentgen.errors import InputError
from roentgen.imaging.images import Fit
from roentgen.manifest import License
from roentgen.record.findings import FindingName
from roentgen.record.radiograph import Radiograph
from roentgen.record.splits import SplitRules
from roentgen.setting_checks import require

SOURCE = "MIMIC-CXR-JPG"
METADATA_COLUMNS = ("dicom_id", "subject_id", "study_id", "ViewPosition", "StudyDate")
# The radiologist's labels that came with 2.1.0 know no "No Finding", and call one otherwise.
TEST_COLUMNS: dict[FindingName, str] = {
    name: "Airspace Opacity" if name == "Lung Opacity" else name
    for name in LABEL_COLUMNS
    if name != "No Finding"
}


@dataclass(frozen=True, kw_only=True)
class MimicCxrJpgConfig(MimicOptions):
    """MIMIC-CXR-JPG, whole or in part."""

    root: Path
    """The folder of one version: files/ and the tables."""
    metadata: str = "mimic-cxr-2.0.0-metadata.csv.gz"
    """Table of the images (both versions have it under this name); unpacked (.csv) serves too."""
    split: str = "mimic-cxr-2.0.0-split.csv.gz"
    """Table of the official split."""
    labels: Literal["chexpert", "negbio"] | None = "chexpert"
    """The labeler whose table to take; null: no labels."""
    test_labels: str | None = None
    """Table of a radiologist's labels, which stand in for the labeler's in their studies:
    mimic-cxr-2.1.0-test-set-labeled.csv."""
    reports: Path | None = None
    """MIMIC-CXR's reports: mimic-cxr-reports.zip, or a folder with it unpacked; null: none."""

    def __post_init__(self) -> None:
        require(
            self.reports is not None or not self.need_report,
            "mimic_cxr_jpg.need_report needs mimic_cxr_jpg.reports: say where",
        )


@dataclass(frozen=True)
class MimicCxrJpgReader:
    """Reads MIMIC-CXR-JPG; see `roentgen.corpora.reader.CorpusReader`."""

    config: MimicCxrJpgConfig
    split: SplitRules
    size: int
    fit: Fit
    seed: int

    @property
    def licenses(self) -> Sequence[License]:
        """PhysioNet's terms."""
        return (LICENSE,)

    def plan(self) -> Plan:
        """Scan the tables and list the folders."""
        c = self.config
        self.split.check_published(PUBLISHED_SPLITS)
        listing = Listing(c.root)
        metadata = _table(c.root, c.metadata)
        if metadata is None or not listing.names("files"):
            raise wrong_root("mimic_cxr_jpg.root", c.root, f"files/ and {c.metadata}")
        scan = Scan(whole=c.whole_tree)
        studies: set[str] = set()
        sources = self._sources(scan)
        scan_images(scan, self._rows(metadata, scan, studies), listing.has, c, sources)
        if scan.files_missing and not scan.items:
            raise wrong_root(
                "mimic_cxr_jpg.root", c.root, "images as files/p10/p10000032/s50414267/<id>.jpg"
            )
        tell_empty_studies(scan, sources.labels, studies)
        return scan.plan()

    def _rows(self, metadata: Path, scan: Scan, studies: set[str]) -> Iterator[MimicRow]:
        for number, row in enumerate(read_rows(metadata, METADATA_COLUMNS), start=1):
            if row is None:
                name = f"metadata row {number}"
                scan.drop(name, "the row has not as many fields as the header")
                continue
            image, subject, study, view, date = row.values()
            studies.add(study)
            path = f"files/p{subject[:2]}/p{subject}/s{study}/{image}.jpg"
            yield MimicRow(image, subject, study, path, view, date)

    def _sources(self, scan: Scan) -> MimicSources:
        c = self.config
        published = None
        if self.split.published == "official":
            published = read_splits(_needed(c.root, c.split))
        labels = {}
        if c.labels is not None:
            labels = read_labels(_needed(c.root, f"mimic-cxr-2.0.0-{c.labels}.csv.gz"))
        if c.test_labels is not None:
            labels |= read_labels(_needed(c.root, c.test_labels), TEST_COLUMNS)
        return MimicSources(
            split=self.split,
            seed=self.seed,
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
        radiograph = read_image(
            item,
            self.config.root,
            self._reports,
            self.size,
            self.fit,
            view=item.view,
            date=item.date,
            source=SOURCE,
        )
        return [radiograph]


def _table(root: Path, name: str) -> Path | None:
    """The table, or where it is not there the same one unpacked."""
    for path in (root / name, root / name.removesuffix(".gz")):
        if path.is_file():
            return path
    return None


def _needed(root: Path, name: str) -> Path:
    path = _table(root, name)
    if path is None:
        raise InputError(f"no such table: {root / name}")
    return path
