"""Open-i, the Indiana University collection: images with the report of their study.

A report is of one study; the collection does not tell whether two are of one patient, so each
report counts as a patient.
"""

import struct
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import ParseError

from roentgen.corpora.image_corpus import ImageCorpusConfig, ImageCorpusReader, ImageItem
from roentgen.corpora.open_i.mesh import findings_of, unmapped
from roentgen.corpora.reader import CorpusPlan, Unmapped
from roentgen.corpora.scanning.rows import read_rows
from roentgen.corpora.scanning.scan import FileIndex, Scan, optional_file, wrong_root
from roentgen.errors import InputError
from roentgen.manifest import License
from roentgen.record.radiograph import Report, View
from roentgen.untrusted_files import open_regular, open_tar, parse_elements

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
_LARGEST = 4 << 20  # bytes; the largest report of the collection has 20 kB
_DAMAGE = (
    *(tarfile.TarError, OSError, EOFError, zlib.error),
    *(struct.error, ValueError, OverflowError),
)


@dataclass(frozen=True, kw_only=True)
class OpenIReport:
    """One report: its sections as written ("XXXX" where de-identified), MeSH terms and images."""

    id: str  # "CXR1"
    report: Report
    major: tuple[str, ...]  # terms given by annotators: "Cardiomegaly/mild"
    images: tuple[str, ...]  # "CXR1_1_IM-0001-3001"


def read_reports(source: Path) -> Iterator[OpenIReport]:
    """The reports of a folder of XML files, or of NLMCXR_reports.tgz without unpacking it.

    Raises InputError naming the file for one that cannot be read.
    """
    for name, data in report_files(source):
        yield parse_xml(data, name)


def report_files(source: Path) -> Iterator[tuple[str, bytes]]:
    """(name, content) of each XML file; names from an archive are never used as paths."""
    if source.is_dir():
        for path in sorted(source.rglob("*.xml")):
            yield path.name, _content(path)
    elif source.is_file():
        yield from _archived(source)
    else:
        raise InputError(f"no such folder or archive of reports: {source}")


def _content(path: Path) -> bytes:
    """Content of a file; empty if it cannot be read, which `parse_xml` reports."""
    try:
        with open_regular(path) as file:
            return file.read(_LARGEST + 1)
    except OSError:
        return b""


def _archived(source: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with open_tar(source) as archive:
            for member in archive:
                if member.isfile() and member.name.endswith(".xml"):
                    file = archive.extractfile(member)
                    assert file is not None
                    yield member.name.rpartition("/")[2], file.read(_LARGEST + 1)
    except _DAMAGE as error:
        reason = str(error).partition("\n")[0].rstrip(":")
        raise InputError(f"archive {source} cannot be read: {reason}") from None


def parse_xml(data: bytes, name: str) -> OpenIReport:
    """One report. Raises InputError, naming the file, if it is not an Open-i report."""
    if not data:
        raise InputError(f"{name} is empty or cannot be read")
    if len(data) > _LARGEST:
        raise InputError(f"{name} is larger than {_LARGEST} bytes: too large for a report")
    try:
        root = parse_elements(data)
    except (ParseError, ValueError, LookupError) as error:
        raise InputError(f"{name} cannot be read as XML: {error}") from None
    identity = root.find("uId")
    report_id = "" if identity is None else identity.get("id", "")
    if not report_id:
        raise InputError(f"{name} has no uId: it is not an Open-i report")
    sections: dict[str, str] = {}
    for element in root.iter("AbstractText"):
        text = "".join(element.itertext()).strip()
        if text:
            sections[element.get("Label", "")] = text
    terms = ((element.text or "").strip() for element in root.iterfind("MeSH/major"))
    return OpenIReport(
        id=report_id,
        report=Report(
            findings=sections.get("FINDINGS"),
            impression=sections.get("IMPRESSION"),
            indication=sections.get("INDICATION"),
            comparison=sections.get("COMPARISON"),
        ),
        major=tuple(term for term in terms if term),
        images=tuple(dict.fromkeys(e.get("id", "") for e in root.iter("parentImage"))),
    )


@dataclass(frozen=True, kw_only=True)
class OpenIConfig(ImageCorpusConfig):
    """Open-i: the folder of reports and images; null: files under their published names."""

    reports: str | None = None
    """Folder of XML files or .tgz; null: ecgen-radiology or NLMCXR_reports.tgz."""
    images: str | None = None
    """Folder of the images; null: NLMCXR_png, images, NLMCXR_dcm or `root`."""
    metadata: str | None = None
    """Table with imageid and view; null: nlmcxr_dicom_metadata.csv.gz (torchxrayvision has it) if
    it is there, else the views are unknown."""
    view_column: str = "View Position"
    """Column of `metadata` with the view."""
    mesh: bool = False
    """Take the manual MeSH terms as findings."""


@dataclass(frozen=True)
class OpenIReader(ImageCorpusReader[OpenIConfig]):
    """Reads Open-i."""

    section = "open_i"
    source = "Open-i"
    license = LICENSE
    has_reports = True

    def plan(self) -> CorpusPlan:
        """The images that the reports name; a report without any is excluded."""
        c = self.config
        reports = optional_file(c.root, c.reports, _REPORTS)
        if reports is None:
            raise self.wrong_root("ecgen-radiology/ or NLMCXR_reports.tgz, and NLMCXR_png/")
        files = self.index_images(c.images, _IMAGES, "CXR1_1_IM-0001-3001.png and others")
        scan = Scan(complete=c.complete)
        metadata = optional_file(c.root, c.metadata, _METADATA)
        rows = read_rows(metadata, ["imageid", c.view_column]) if metadata else ()
        views = {row["imageid"]: row[c.view_column].strip().upper() for row in rows if row}
        named: set[str] = set()
        read: set[str] = set()
        for name, data in report_files(reports):
            with scan.excluding(name):
                report = parse_xml(data, name)
                if report.id in read:
                    raise InputError(f"second report {report.id}")
                read.add(report.id)
                named.update(report.images)
                self._plan_report(report, files, views, scan)
        if not read:
            raise InputError(f"open_i.reports {reports}: expected XML files, found none")
        if scan.finds_no_file:
            raise wrong_root("open_i.images", files.folder, "the images that the reports name")
        for image in files.others(named | {name.removeprefix("CXR") for name in named}):
            scan.exclude(image, "no report names the image")
        return scan.plan()

    def _plan_report(
        self, report: OpenIReport, files: FileIndex, views: dict[str, str], scan: Scan
    ) -> None:
        if not report.images:  # 104 of the published ones: in a part they would be many
            scan.exclude_optional(report.id, "report without images")
        findings = findings_of(report.major) if self.config.mesh else ()
        terms = unmapped(report.major) if self.config.mesh else ()
        lost = [Unmapped("finding", term, why) for term, why in terms]
        if report.report == Report():
            lost.append(Unmapped("report", "", "all of it is blank: its images are taken"))
        for image in report.images:
            with scan.excluding(image):
                word = views.get(image, "")
                item = ImageItem(
                    id=image,
                    patient=report.id,
                    study=report.id,
                    split=self.split_of(report.id),
                    # The DICOM release has no CXR before the number.
                    path=files.find(image, image.removeprefix("CXR")),
                    view=_VIEWS.get(word),
                    report=None if report.report == Report() else report.report,
                    findings=findings,
                )
                unknown = [Unmapped("view", word, "no known view: left unknown")]
                scan.accept(item, lost if word in _VIEWS else [*lost, *unknown])
                lost = []  # counted once a report
