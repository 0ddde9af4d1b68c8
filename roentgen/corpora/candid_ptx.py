"""CANDID-PTX: images with reports and masks of pneumothorax, chest tubes and rib fractures."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from roentgen.corpora.image_corpus import (
    ImageCorpusConfig,
    ImageCorpusReader,
    ImageItem,
    visible_masks,
)
from roentgen.corpora.reader import CorpusPlan, Unmapped
from roentgen.corpora.scanning.dicom_header import read_radiograph_header
from roentgen.corpora.scanning.scan import Scan, optional_file
from roentgen.corpora.scanning.value_mapping import is_blank
from roentgen.errors import InputError
from roentgen.imaging.images import image_size
from roentgen.imaging.run_length import NO_MASK, place_runs
from roentgen.manifest import License
from roentgen.record.finding import Finding, State
from roentgen.record.radiograph import Radiograph
from roentgen.reports.sections import parse_report

LICENSE = License(
    name="CANDID-PTX data use agreement",
    data_use="For those who signed the agreement and took the ethics course; do not pass the data "
    "on or try to identify patients; cite Feng et al. 2021.",
    may_share=False,
)
_TABLE = "Pneumothorax_reports.csv"
_TUBES = ("chest_tube.csv",)
_RIBS = ("Rib_fracture_mask_rle.csv", "acute_rib_fracture.csv")
_FOLDERS = ("dataset", "chest_radiographs", "images")
_SUFFIXES = (".dcm", ".dicom", ".png", ".jpg", "")  # the release's names are bare UIDs
_DRAWN_ON = (1024, 1024)  # pixels
_PATIENT = re.compile(r"P?0*(\d+)_")


@dataclass(frozen=True, kw_only=True)
class CandidPtxConfig(ImageCorpusConfig):
    """CANDID-PTX: the folder of the release; null: files under their published names."""

    table: str = _TABLE
    """The reports and the masks of pneumothorax."""
    patient: str | None = "filename"
    """Column that begins with the patient ("P0001_..."); null: each study counts as a patient."""
    tubes: str | None = None
    """The masks of chest tubes; null: chest_tube.csv if it is there."""
    ribs: str | None = None
    """The masks of rib fractures; null: Rib_fracture_mask_rle.csv if it is there."""
    images: str | None = None
    """Folder of the images; null: dataset or chest_radiographs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CandidPtxItem(ImageItem):
    """One image."""

    text: str  # of the report
    runs: dict[str, tuple[str, ...]]  # run-lengths of the masks by structure


@dataclass
class _ReportRows:
    """The rows of one image in the table of reports."""

    studies: set[tuple[str, str]] = field(default_factory=set)  # (patient, study)
    reports: dict[str, None] = field(default_factory=dict)
    runs: dict[str, None] = field(default_factory=dict)

    def check(self) -> None:
        """Raise InputError for rows that contradict each other."""
        if len(self.studies) > 1:
            raise InputError("the image is in two studies")
        if len(self.reports) > 1:
            raise InputError("the image has two reports")
        if NO_MASK in self.runs and len(self.runs) > 1:
            raise InputError(f"one row has a mask, another {NO_MASK} for none")


@dataclass(frozen=True)
class CandidPtxReader(ImageCorpusReader[CandidPtxConfig]):
    """Reads CANDID-PTX."""

    section = "candid_ptx"
    source = "CANDID-PTX"
    license = LICENSE
    has_reports = True

    def plan(self) -> CorpusPlan:
        """The images that the table of reports names."""
        c = self.config
        table = c.root / c.table
        if not table.is_file():
            raise self.wrong_root(c.table)
        expected = "images named by SOPInstanceUID"
        files = self.index_images(c.images, _FOLDERS, expected, _SUFFIXES)
        scan = Scan(complete=c.complete)
        found = self._rows_by_image(table, scan)
        tubes = _masks(optional_file(c.root, c.tubes, _TUBES), scan)
        ribs = _masks(optional_file(c.root, c.ribs, _RIBS), scan)
        for name, rows in found.items():
            with scan.excluding(name):
                rows.check()
                ((patient, study),) = rows.studies
                runs = {
                    "pneumothorax": tuple(text for text in rows.runs if text != NO_MASK),
                    "chest tube": tubes.get(name, ()),
                    "rib fracture": ribs.get(name, ()),
                }
                item = CandidPtxItem(
                    id=name,
                    patient=patient,
                    study=study,
                    split=self.split_of(patient),
                    path=files.find(name),
                    findings=_findings(runs, annotated=bool(rows.runs)),
                    text=next(iter(rows.reports), ""),
                    runs=runs,
                )
                no_report = [Unmapped("report", "", "the image is taken")]
                scan.accept(item, () if rows.reports else no_report)
        return self.finish_plan(scan, files, table, found.keys())

    def _rows_by_image(self, table: Path, scan: Scan) -> dict[str, _ReportRows]:
        column = self.config.patient
        columns = ["SOPInstanceUID", "StudyInstanceUID", "EncodedPixels", "Report"]
        found: dict[str, _ReportRows] = {}
        for place, row in scan.rows(table, [*columns, *filter(None, [column])]):
            image, study = row["SOPInstanceUID"].strip(), row["StudyInstanceUID"].strip()
            patient = _PATIENT.match(row[column]) if column else None
            if not image or not study:
                scan.exclude(image or place, "SOPInstanceUID or StudyInstanceUID is blank")
                continue
            if column and patient is None:
                scan.exclude(image, f"{column} does not begin with a patient, as P0001_")
                continue
            rows = found.setdefault(image, _ReportRows())
            rows.studies.add((patient[1] if patient else study, study))
            for cell, cells in ((row["Report"], rows.reports), (row["EncodedPixels"], rows.runs)):
                if not is_blank(cell):
                    cells[cell.strip()] = None
        return found

    def read(self, item: CandidPtxItem) -> list[Radiograph | Unmapped]:
        """Read one image."""
        path = self.path(item)
        image, header = self.image(item), read_radiograph_header(path)
        masks: dict[str, bytes | None] = {}
        for structure, texts in item.runs.items():
            if texts:
                header.check_upright()
                mask = place_runs(texts, _DRAWN_ON, image_size(path), self.size, self.fit)
                masks[structure] = mask
        report = parse_report(item.text) if item.text else None
        shown, empty = visible_masks(masks)
        radiograph = self.radiograph(item, image, report=report, masks=shown, **header.known)
        return [radiograph, *header.unmapped, *empty]


def _findings(runs: dict[str, tuple[str, ...]], *, annotated: bool) -> tuple[Finding, ...]:
    """Only pneumothorax was annotated everywhere; the others are present or not mentioned."""
    findings = []
    if annotated:
        state: State = "present" if runs["pneumothorax"] else "absent"
        findings.append(Finding(name="Pneumothorax", state=state))
    if runs["chest tube"]:
        findings.append(Finding(name="Support Devices", detail="chest tube"))
    if runs["rib fracture"]:
        findings.append(Finding(name="Fracture", detail="rib fracture"))
    return tuple(findings)


def _masks(table: Path | None, scan: Scan) -> dict[str, tuple[str, ...]]:
    """Run-lengths by image of a table with a row for each mask."""
    found: dict[str, tuple[str, ...]] = {}
    for _, row in scan.rows(table, ["anon_SOPUID", "mask_rle"]) if table else ():
        if row["mask_rle"].strip() not in ("", NO_MASK):
            image = row["anon_SOPUID"].strip()
            found[image] = (*found.get(image, ()), row["mask_rle"].strip())
    return found
