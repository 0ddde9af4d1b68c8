"""MIMIC-CXR 2.0.0 and 2.1.0 (physionet.org/content/mimic-cxr): DICOM films and their reports."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from roentgen.corpora.mimic.patients import read_patients
from roentgen.corpora.mimic.reports import default_reports, open_reports
from roentgen.corpora.mimic.studies import (
    LICENSE,
    PUBLISHED_SPLITS,
    VIEW_WORDS,
    MimicItem,
    MimicOptions,
    MimicRow,
    MimicSources,
    age_lost,
    read_image,
    read_labels,
    read_splits,
    scan_images,
    tell_empty_studies,
)
from roentgen.corpora.reader import Plan, Unmapped
from roentgen.corpora.scanning.file_index import wrong_root
from roentgen.corpora.scanning.row_filter import check_path
from roentgen.corpora.scanning.rows import read_rows
from roentgen.corpora.scanning.scan import Listing, Scan, wanted_view
from roentgen.errors import InputError
from roentgen.imaging.dicom.frame import read_header
from roentgen.imaging.images import Fit, image_size
from roentgen.manifest import License
from roentgen.record.radiograph import Radiograph
from roentgen.record.splits import SplitRules
from roentgen.record.views import View

SOURCE = "MIMIC-CXR"
RECORD_COLUMNS = ("dicom_id", "subject_id", "study_id", "path")


@dataclass(frozen=True, kw_only=True)
class MimicCxrConfig(MimicOptions):
    """MIMIC-CXR, whole or in part."""

    root: Path
    """The folder of one version: files/ and the tables."""
    records: str = "cxr-record-list.csv.gz"
    """Table of the images."""
    studies: str | None = "cxr-study-list.csv.gz"
    """Table of the studies, of which those without images are told; null: not looked at."""
    reports: Path | None = None
    """The reports' zip or folder; null: mimic-cxr-reports.zip, the folder mimic-cxr-reports or the
    texts among the images, whichever is below the root."""
    metadata: Path | None = None
    """MIMIC-CXR-JPG's table of metadata, for view and date; null: from each film's header, so that
    a view that is not wanted is found only when its film is read."""
    split: Path | None = None
    """MIMIC-CXR-JPG's table of the official split."""
    labels: Path | None = None
    """MIMIC-CXR-JPG's table of CheXpert's or NegBio's labels; null: none."""


@dataclass(frozen=True)
class MimicCxrReader:
    """Reads MIMIC-CXR; see `roentgen.corpora.reader.CorpusReader`."""

    config: MimicCxrConfig
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
        if self.split.published == "official" and c.split is None:
            raise InputError(
                "split.published=official needs mimic_cxr.split, the table of MIMIC-CXR-JPG; "
                "or use p19 or fractions"
            )
        listing = Listing(c.root)
        if not (c.root / c.records).is_file() or not listing.names("files"):
            raise wrong_root("mimic_cxr.root", c.root, f"files/ and {c.records}")
        scan = Scan(whole=c.whole_tree)
        studies: set[str] = set()
        scan_images(scan, self._rows(scan, studies), listing.has, c, self._sources(scan))
        if scan.files_missing and not scan.items:
            raise wrong_root(
                "mimic_cxr.root", c.root, "films as files/p10/p10000032/s50414267/<id>.dcm"
            )
        if c.studies is not None:
            rows = filter(None, read_rows(c.root / c.studies, ("study_id",)))
            tell_empty_studies(scan, (row["study_id"] for row in rows), studies)
        return scan.plan()

    def _rows(self, scan: Scan, studies: set[str]) -> Iterator[MimicRow]:
        c = self.config
        known = _read_metadata(c.metadata) if c.metadata else None
        for number, row in enumerate(read_rows(c.root / c.records, RECORD_COLUMNS), start=1):
            if row is None:
                name = f"record row {number}"
                scan.drop(name, "the row has not as many fields as the header")
                continue
            image, subject, study, path = row.values()
            studies.add(study)
            try:
                check_path(path)
            except InputError as error:
                scan.drop(image, str(error))
                continue
            if known is None:
                yield MimicRow(image, subject, study, path, None, None)
            elif image in known:
                yield MimicRow(image, subject, study, path, *known[image])
            else:
                scan.drop(image, "the table of metadata does not have it")

    def _sources(self, scan: Scan) -> MimicSources:
        c = self.config
        official = self.split.published == "official"
        return MimicSources(
            split=self.split,
            seed=self.seed,
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
        """Read one film and its report; UnwantedError for a view that its header alone told."""
        view, date = item.view, item.date
        lost: list[Unmapped] = []
        if self.config.metadata is None:
            view, date = self._read_header(item)
            lost += age_lost(item.birth_year, date)
        radiograph = read_image(
            item,
            self.config.root,
            self._reports,
            self.size,
            self.fit,
            view=view,
            date=date,
            source=SOURCE,
        )
        return [radiograph, *lost]

    def _read_header(self, item: MimicItem) -> tuple[View | None, str]:
        c = self.config
        path, words = c.root / item.path, VIEW_WORDS | c.view_words
        try:
            header = read_header(path, ("ViewPosition", "StudyDate"))
            word = header["ViewPosition"].strip()
            view = wanted_view(word, words, c.views, blank=c.take_blank_view)
        except InputError:
            image_size(path)  # a damaged film has no view either: it is told as damaged
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
