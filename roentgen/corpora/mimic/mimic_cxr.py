"""MIMIC-CXR 2.0.0 and 2.1.0 (physionet.org/content/mimic-cxr): DICOM images and their reports."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from roentgen.corpora.mimic.patients import read_patients
from roentgen.corpora.mimic.reports import default_reports, open_reports
from roentgen.corpora.mimic.studies import (
    VIEW_WORDS,
    MimicItem,
    MimicReader,
    MimicRow,
    MimicSettings,
    MimicSources,
    exclude_empty_studies,
    lost_age,
    read_labels,
    read_splits,
)
from roentgen.corpora.reader import CorpusPlan, Unmapped
from roentgen.corpora.scanning.rows import read_rows
from roentgen.corpora.scanning.scan import FolderListing, Scan, check_path
from roentgen.errors import InputError
from roentgen.imaging.dicom.frame import read_header
from roentgen.imaging.images import image_size
from roentgen.record.radiograph import Radiograph, View

RECORD_COLUMNS = ("dicom_id", "subject_id", "study_id", "path")


@dataclass(frozen=True, kw_only=True)
class MimicCxrConfig(MimicSettings):
    """MIMIC-CXR, complete or in part."""

    root: Path
    """The folder of one version: files/ and the tables."""
    records: str = "cxr-record-list.csv.gz"
    """Table of the images."""
    studies: str | None = "cxr-study-list.csv.gz"
    """Table of the studies, of which those without images are listed; null: not checked."""
    reports: Path | None = None
    """The reports' zip or folder; null: mimic-cxr-reports.zip, the folder mimic-cxr-reports or the
    texts among the images, whichever is below the root."""
    metadata: Path | None = None
    """MIMIC-CXR-JPG's table of metadata, for view and date; null: from each image's header, so
    that a view that is not in `views` is found only when its image is read."""
    split: Path | None = None
    """MIMIC-CXR-JPG's table of the official split."""
    labels: Path | None = None
    """MIMIC-CXR-JPG's table of CheXpert's or NegBio's labels; null: none."""


@dataclass(frozen=True)
class MimicCxrReader(MimicReader[MimicCxrConfig]):
    """Reads MIMIC-CXR."""

    section = "mimic_cxr"
    source = "MIMIC-CXR"

    def plan(self) -> CorpusPlan:
        """Scan the tables and list the folders."""
        c = self.config
        if self.split.published == "official" and c.split is None:
            raise InputError(
                "split.published=official needs mimic_cxr.split, the table of MIMIC-CXR-JPG; "
                "or use p19 or fractions"
            )
        files = FolderListing(c.root)
        if not (c.root / c.records).is_file() or not files.names("files"):
            raise self.wrong_root(f"files/ and {c.records}")
        scan = Scan(complete=c.complete)
        studies: set[str] = set()
        self.scan_images(scan, self._rows(scan, studies), files, self._sources(scan))
        if scan.finds_no_file:
            raise self.wrong_root("images as files/p10/p10000032/s50414267/<id>.dcm")
        if c.studies is not None:
            rows = filter(None, read_rows(c.root / c.studies, ("study_id",)))
            exclude_empty_studies(scan, (row["study_id"] for row in rows), studies)
        return scan.plan()

    def _rows(self, scan: Scan, studies: set[str]) -> Iterator[MimicRow]:
        c = self.config
        known = _read_metadata(c.metadata) if c.metadata else None
        for _, row in scan.rows(c.root / c.records, RECORD_COLUMNS):
            image, subject, study, path = row.values()
            studies.add(study)
            with scan.excluding(image):
                check_path(path)
                if known is not None and image not in known:
                    raise InputError("the table of metadata does not have it")
                view_and_date = known[image] if known else (None, None)
                yield MimicRow(image, subject, study, path, *view_and_date)

    def _sources(self, scan: Scan) -> MimicSources:
        c = self.config
        official = self.split.published == "official"
        return MimicSources(
            published=read_splits(c.split) if official and c.split else None,
            labels=read_labels(c.labels) if c.labels else {},
            patients=read_patients(c.patients, c.admissions, scan),
            reports=open_reports(self._reports),
        )

    @property
    def _reports(self) -> Path:
        given = self.config.reports
        if given is None or given.is_dir():
            return default_reports(given or self.config.root)
        return given

    def read(self, item: MimicItem) -> list[Radiograph | Unmapped]:
        """Read one image and its report; UnwantedError for a view that only its header has."""
        view, date = item.view, item.date
        lost: list[Unmapped] = []
        if self.config.metadata is None:
            view, date = self._read_header(item)
            lost += lost_age(item.birth_year, date)
        return [self.mimic_radiograph(item, self._reports, view, date), *lost]

    def _read_header(self, item: MimicItem) -> tuple[View | None, str]:
        path = self.path(item)
        try:
            header = read_header(path, ("ViewPosition", "StudyDate"))
            view = self.config.view_of(header["ViewPosition"].strip(), VIEW_WORDS)
        except InputError:
            image_size(path)  # a damaged image has no view either: it is reported as damaged
            raise
        return view, header["StudyDate"].strip()


def _read_metadata(table: Path) -> dict[str, tuple[str, str]]:
    """(view, date) of each image."""
    known: dict[str, tuple[str, str]] = {}
    words: dict[str, str] = {}  # each text once in memory
    for row in read_rows(table, ("dicom_id", "ViewPosition", "StudyDate")):
        if row is not None:
            image, view, date = row.values()
            known[image] = words.setdefault(view, view), words.setdefault(date, date)
    return known
