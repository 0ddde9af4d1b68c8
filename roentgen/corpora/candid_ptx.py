"""CANDID-PTX: films with reports and masks of pneumothorax, chest tubes and rib fractures."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from roentgen.corpora.reader import Plan, Unmapped
from roentgen.corpora.scanning.dicom_header import film_header
from roentgen.corpora.scanning.file_index import FileIndex, optional_file, wrong_root
from roentgen.corpora.scanning.rows import read_rows
from roentgen.corpora.scanning.scan import Scan
from roentgen.errors import InputError
from roentgen.imaging.images import Fit, encode_png, image_size, prepare_image
from roentgen.imaging.run_length import NO_MASK, place_runs
from roentgen.manifest import License
from roentgen.record.findings import Finding, State
from roentgen.record.radiograph import Radiograph, Split
from roentgen.record.splits import SplitRules
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
_SUFFIXES = (".dcm", ".dicom", ".png", ".jpg", "")  # the release's films have bare UIDs as names
_DRAWN_ON = (1024, 1024)  # pixels
_PATIENT = re.compile(r"P?0*(\d+)_")


@dataclass(frozen=True, kw_only=True)
class CandidPtxConfig:
    """Where CANDID-PTX's files are, below `root`; null: under their published names."""

    root: Path
    """Folder of the release."""
    table: str = _TABLE
    """The reports and the masks of pneumothorax."""
    patient: str | None = "filename"
    """Column that begins with the patient ("P0001_..."); null: each study counts as a patient."""
    tubes: str | None = None
    """The masks of chest tubes; null: chest_tube.csv if it is there."""
    ribs: str | None = None
    """The masks of rib fractures; null: Rib_fracture_mask_rle.csv if it is there."""
    images: str | None = None
    """The films' folder; null: dataset or chest_radiographs."""
    whole_tree: bool = False
    """Whether all films should be here: a missing one is then a bad item."""


class CandidPtxItem(NamedTuple):
    """One film."""

    id: str
    patient: str
    study: str
    split: Split
    path: str  # below the films' folder
    report: str
    pneumothorax: tuple[str, ...] | None  # run-lengths; none: absent; None: not said
    tubes: tuple[str, ...]
    ribs: tuple[str, ...]


@dataclass
class _Rows:
    """What the tables say of a film."""

    studies: set[tuple[str, str]] = field(default_factory=set)  # (patient, study)
    reports: dict[str, None] = field(default_factory=dict)
    runs: dict[str, None] = field(default_factory=dict)

    def check(self) -> None:
        """Raise InputError where rows contradict each other."""
        if len(self.studies) > 1:
            raise InputError("the film is in two studies")
        if len(self.reports) > 1:
            raise InputError("the film has two reports")
        if NO_MASK in self.runs and len(self.runs) > 1:
            raise InputError(f"one row has a mask, another {NO_MASK} for none")


@dataclass(frozen=True)
class CandidPtxReader:
    """Reads CANDID-PTX; see `roentgen.corpora.reader.CorpusReader`."""

    config: CandidPtxConfig
    split: SplitRules
    size: int
    fit: Fit
    seed: int

    def __post_init__(self) -> None:
        self.split.check_published(())

    @property
    def licenses(self) -> Sequence[License]:
        """The data use agreement."""
        return (LICENSE,)

    @property
    def _images(self) -> Path:
        root = self.config.root
        return optional_file(root, self.config.images, _FOLDERS) or root

    def plan(self) -> Plan:
        """The films that the table of reports names."""
        c = self.config
        table = c.root / c.table
        if not table.is_file():
            raise wrong_root("candid_ptx.root", c.root, c.table)
        films = FileIndex(self._images, _SUFFIXES)
        if not len(films):
            raise wrong_root("candid_ptx.images", self._images, "films named by SOPInstanceUID")
        scan = Scan(whole=c.whole_tree)
        found = self._rows_by_film(table, scan)
        tubes = _masks(optional_file(c.root, c.tubes, _TUBES), scan)
        ribs = _masks(optional_file(c.root, c.ribs, _RIBS), scan)
        for film, rows in found.items():
            try:
                rows.check()
                ((patient, study),) = rows.studies
                path = films.find(film)
            except InputError as error:
                scan.drop(film, str(error))
                continue
            if path is None:
                scan.missing(film)
                continue
            runs = tuple(text for text in rows.runs if text != NO_MASK)
            item = CandidPtxItem(
                id=film,
                patient=patient,
                study=study,
                split=self.split.of_patient(patient, self.seed, None),
                path=path,
                report=next(iter(rows.reports), ""),
                pneumothorax=runs if rows.runs else None,
                tubes=tubes.get(film, ()),
                ribs=ribs.get(film, ()),
            )
            no_report = [Unmapped("report", "", "the film is taken")]
            scan.keep(item, () if rows.reports else no_report)
        if scan.files_missing and not scan.items:
            raise wrong_root("candid_ptx.images", self._images, f"the films of {table.name}")
        for film in films.others(found.keys()):
            scan.drop(film, f"not in {table.name}", expected=True)
        return scan.plan()

    def _rows_by_film(self, table: Path, scan: Scan) -> dict[str, _Rows]:
        column = self.config.patient
        columns = ["SOPInstanceUID", "StudyInstanceUID", "EncodedPixels", "Report"]
        found: dict[str, _Rows] = {}
        for number, row in enumerate(read_rows(table, [*columns, *filter(None, [column])]), 1):
            if row is None:
                scan.drop(f"row {number}", "the row has not as many fields as the header")
                continue
            film, study = row["SOPInstanceUID"].strip(), row["StudyInstanceUID"].strip()
            patient = _PATIENT.match(row[column]) if column else None
            if not film or not study:
                scan.drop(film or f"row {number}", "SOPInstanceUID or StudyInstanceUID is blank")
                continue
            if column and patient is None:
                scan.drop(film, f"{column} does not begin with a patient, as P0001_")
                continue
            rows = found.setdefault(film, _Rows())
            rows.studies.add((patient[1] if patient else study, study))
            for cell, cells in ((row["Report"], rows.reports), (row["EncodedPixels"], rows.runs)):
                if cell.strip():
                    cells[cell.strip()] = None
        return found

    def read(self, item: CandidPtxItem) -> list[Radiograph | Unmapped]:
        """Read one film."""
        path = self._images / item.path
        pixels = prepare_image(path, self.size, self.fit)
        runs = {
            "pneumothorax": item.pneumothorax or (),
            "chest tube": item.tubes,
            "rib fracture": item.ribs,
        }
        header = film_header(path)
        masks: dict[str, bytes] = {}
        for structure, texts in runs.items():
            if texts:
                header.check_upright()
                mask = place_runs(texts, _DRAWN_ON, image_size(path), self.size, self.fit)
                masks |= {structure: mask} if mask else {}
        return [
            Radiograph(
                id=item.id,
                patient_id=item.patient,
                study_id=item.study,
                split=item.split,
                image=encode_png(pixels),
                view=header.view,
                findings=_findings(item),
                report=parse_report(item.report) if item.report else None,
                masks=masks,
                age=header.age,
                sex=header.sex,
                source="CANDID-PTX",
                license=LICENSE.name,
            ),
            *header.unmapped,
        ]


def _findings(item: CandidPtxItem) -> tuple[Finding, ...]:
    """Only pneumothorax was looked for in every film; the others are present or not mentioned."""
    findings = []
    if item.pneumothorax is not None:
        state: State = "present" if item.pneumothorax else "absent"
        findings.append(Finding(name="Pneumothorax", state=state))
    if item.tubes:
        findings.append(Finding(name="Support Devices", detail="chest tube"))
    if item.ribs:
        findings.append(Finding(name="Fracture", detail="rib fracture"))
    return tuple(findings)


def _masks(table: Path | None, scan: Scan) -> dict[str, tuple[str, ...]]:
    """Run-lengths by film of a table with a row for each mask."""
    found: dict[str, tuple[str, ...]] = {}
    for number, row in enumerate(read_rows(table, ["anon_SOPUID", "mask_rle"]) if table else (), 1):
        if row is None:
            scan.drop(
                f"{table.name if table else table} row {number}",
                "the row has not as many fields as the header",
            )
        elif row["mask_rle"].strip() not in ("", NO_MASK):
            film = row["anon_SOPUID"].strip()
            found[film] = (*found.get(film, ()), row["mask_rle"].strip())
    return found
