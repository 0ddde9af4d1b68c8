"""Open-i, the Indiana University collection: films with the report of their study.

A report is of one study; the collection does not say whether two are of one patient, so each
report counts as a patient.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from roentgen.corpora.open_i.mesh import findings_of, unmapped
from roentgen.corpora.open_i.reports import OpenIReport, parse_xml, read_reports, report_files
from roentgen.corpora.reader import Plan, Unmapped
from roentgen.corpora.scanning.file_index import FileIndex, optional_file, wrong_root
from roentgen.corpora.scanning.rows import read_rows
from roentgen.corpora.scanning.scan import Scan
from roentgen.errors import InputError
from roentgen.imaging.images import Fit, encode_png, prepare_image
from roentgen.manifest import License
from roentgen.record.findings import Finding
from roentgen.record.radiograph import Radiograph, Report, Split
from roentgen.record.splits import SplitRules
from roentgen.record.views import View

__all__ = ["OpenIConfig", "OpenIReader", "OpenIReport", "read_reports"]

LICENSE = License(
    name="CC-BY-NC-ND-4.0",
    data_use="Non-commercial use only; pass on nothing that is made from it; cite "
    "Demner-Fushman et al. 2016.",
    may_share=False,
)
_REPORTS = ("ecgen-radiology", "NLMCXR_reports.tgz", "NLMCXR_reports")
_IMAGES = ("NLMCXR_png", "images", "NLMCXR_dcm")
_METADATA = ("nlmcxr_dicom_metadata.csv.gz", "nlmcxr_dicom_metadata.csv")
_VIEWS: dict[str, View | None] = {
    **{"": None, "PA": "PA", "AP": "AP"},
    **dict.fromkeys(("L", "LL", "RL", "LATERAL", "LARGE LATERAL"), "LATERAL"),
}


@dataclass(frozen=True, kw_only=True)
class OpenIConfig:
    """Where Open-i's files are, below `root`; null: under their published names."""

    root: Path
    """Folder with the reports and the films."""
    reports: str | None = None
    """Folder of XML files or .tgz; null: ecgen-radiology or NLMCXR_reports.tgz."""
    images: str | None = None
    """Folder of the films; null: NLMCXR_png, images, NLMCXR_dcm or `root`."""
    metadata: str | None = None
    """Table with imageid and view; null: nlmcxr_dicom_metadata.csv.gz (torchxrayvision has it) if
    it is there, else the views are unknown."""
    view_column: str = "View Position"
    """Column of `metadata` with the view."""
    mesh: bool = False
    """Take the MeSH terms given by hand as findings."""
    whole_tree: bool = False
    """Whether all films should be here: a missing one is then a bad item."""


class OpenIItem(NamedTuple):
    """One film with its report."""

    id: str
    patient: str  # the report
    split: Split
    path: str  # below the films' folder
    view: View | None
    report: Report | None
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class OpenIReader:
    """Reads Open-i; see `roentgen.corpora.reader.CorpusReader`."""

    config: OpenIConfig
    split: SplitRules
    size: int
    fit: Fit
    seed: int

    def __post_init__(self) -> None:
        self.split.check_published(())

    @property
    def licenses(self) -> Sequence[License]:
        """CC BY-NC-ND."""
        return (LICENSE,)

    @property
    def _images(self) -> Path:
        root = self.config.root
        return optional_file(root, self.config.images, _IMAGES) or root

    def plan(self) -> Plan:
        """The films that the reports name; a report without any is excluded."""
        c = self.config
        reports = optional_file(c.root, c.reports, _REPORTS)
        if reports is None:
            expected = "ecgen-radiology/ or NLMCXR_reports.tgz, and NLMCXR_png/"
            raise wrong_root("open_i.root", c.root, expected)
        films = FileIndex(self._images)
        if not len(films):
            raise wrong_root("open_i.images", self._images, "CXR1_1_IM-0001-3001.png and others")
        scan = Scan(whole=c.whole_tree)
        metadata = optional_file(c.root, c.metadata, _METADATA)
        views = _view_words(metadata, c.view_column) if metadata else {}
        named: set[str] = set()
        read: set[str] = set()
        for name, data in report_files(reports):
            try:
                report = parse_xml(data, name)
            except InputError as error:
                scan.drop(name, str(error))
                continue
            if report.id in read:
                scan.drop(name, f"second report {report.id}")
                continue
            read.add(report.id)
            named.update(report.images)
            self._plan_report(report, films, views, scan)
        if not read:
            raise InputError(f"open_i.reports {reports}: expected XML files, found none")
        if scan.files_missing and not scan.items:
            raise wrong_root("open_i.images", self._images, "the films that the reports name")
        for film in films.others(named | {name.removeprefix("CXR") for name in named}):
            scan.drop(film, "no report names the film")
        return scan.plan()

    def _plan_report(
        self, report: OpenIReport, films: FileIndex, views: dict[str, str], scan: Scan
    ) -> None:
        if not report.images:  # 104 of the published ones: in a part they would be many
            scan.absent(report.id, "report without images")
        findings = findings_of(report.major) if self.config.mesh else ()
        terms = unmapped(report.major) if self.config.mesh else ()
        lost = [Unmapped("finding", term, why) for term, why in terms]
        if report.report == Report():
            lost.append(Unmapped("report", "", "all of it is blank: its films are taken"))
        for film in report.images:
            try:  # the DICOM release has no CXR before the number
                path = films.find(film) or films.find(film.removeprefix("CXR"))
            except InputError as error:
                scan.drop(film, str(error))
                continue
            if path is None:
                scan.missing(film)
                continue
            word = views.get(film, "")
            strange = [Unmapped("view", word, "no known view: left unknown")]
            item = OpenIItem(
                id=film,
                patient=report.id,
                split=self.split.of_patient(report.id, self.seed, None),
                path=path,
                view=_VIEWS.get(word),
                report=None if report.report == Report() else report.report,
                findings=findings,
            )
            scan.keep(item, lost if word in _VIEWS else [*lost, *strange])
            lost = []  # told of a report once

    def read(self, item: OpenIItem) -> list[Radiograph]:
        """Read one film."""
        return [
            Radiograph(
                id=item.id,
                patient_id=item.patient,
                study_id=item.patient,
                split=item.split,
                image=encode_png(prepare_image(self._images / item.path, self.size, self.fit)),
                view=item.view,
                findings=item.findings,
                report=item.report,
                source="Open-i",
                license=LICENSE.name,
            )
        ]


def _view_words(metadata: Path, column: str) -> dict[str, str]:
    """The word for the view of each film."""
    rows = filter(None, read_rows(metadata, ["imageid", column]))
    return {row["imageid"]: row[column].strip().upper() for row in rows}
