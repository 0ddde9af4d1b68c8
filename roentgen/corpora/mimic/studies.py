"""Base class of the readers of MIMIC-CXR and MIMIC-CXR-JPG: scan of the rows, and reading."""

import re
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple, TypeVar, get_args

from roentgen.corpora.image_corpus import (
    ImageCorpusConfig,
    ImageCorpusReader,
    ImageItem,
    ViewSettings,
)
from roentgen.corpora.mimic.patients import Patient, Patients, age_at
from roentgen.corpora.mimic.reports import ReportSource, read_report
from roentgen.corpora.reader import Unmapped
from roentgen.corpora.scanning.rows import read_rows
from roentgen.corpora.scanning.scan import FolderListing, Scan
from roentgen.corpora.scanning.value_mapping import (
    NO_LABELS,
    decode_labels,
    encode_labels,
    parse_split,
)
from roentgen.errors import InputError, UnwantedError
from roentgen.manifest import License
from roentgen.record.finding import FINDING_NAMES, FindingName
from roentgen.record.radiograph import Radiograph, Split, View
from roentgen.reports.sections import parse_report

LICENSE = License(
    name="PhysioNet Credentialed Health Data License 1.5.0",
    data_use=(
        "PhysioNet Credentialed Health Data Use Agreement 1.5.0: no sharing with others, no "
        "attempt to identify patients, no online services that keep the data; models and images "
        "made from it are to be treated as such data too."
    ),
    may_share=False,
)
VIEW_WORDS: dict[str, View | None] = {
    **{"PA": "PA", "AP": "AP", "LATERAL": "LATERAL", "LL": "LATERAL"},
    **dict.fromkeys(("AP AXIAL", "AP LLD", "AP RLD", "PA LLD", "PA RLD", "LAO", "RAO", "LPO")),
    **dict.fromkeys(("RPO", "RL", "XTABLE LATERAL", "SWIMMERS")),
}
LABEL_COLUMNS: dict[FindingName, str] = {name: name for name in FINDING_NAMES}

_SUBJECT = re.compile(r"1\d{7}")
_STUDY = re.compile(r"5\d{7}")
_DICOM = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{8}){4}")


@dataclass(frozen=True, kw_only=True)
class MimicSettings(ImageCorpusConfig, ViewSettings):
    """Settings of both forms of MIMIC-CXR."""

    patients: Path | None = None
    """MIMIC-IV's hosp/patients.csv.gz, for age and sex; null: unknown."""
    admissions: Path | None = None
    """MIMIC-IV's hosp/admissions.csv.gz, for race; null: unknown."""
    require_report: bool = False
    """Exclude images whose study has no report."""


class MimicRow(NamedTuple):
    """One image in the tables."""

    id: str
    subject: str
    study: str
    path: str  # below the root
    view: str | None  # the word; None where only the image's header has it
    date: str | None  # YYYYMMDD, shifted; None where only the header has it


@dataclass(frozen=True, kw_only=True, slots=True)
class MimicItem(ImageItem):
    """One image that passed the scan."""

    date: str | None  # YYYYMMDD, shifted
    birth_year: int | None
    place: str | None  # of the report


@dataclass(frozen=True, kw_only=True)
class MimicSources:
    """The tables and folders that the rows are joined with."""

    published: Mapping[str, Split] | None  # of each subject; None: not the official split
    labels: Mapping[str, str | InputError]  # by study: a code, or the error in its row
    patients: Patients
    reports: ReportSource | None


def check_ids(subject: str, study: str, image: str) -> None:
    """Raise InputError for identifiers that MIMIC cannot have; they become parts of paths."""
    for text, pattern, what in (
        (subject, _SUBJECT, "subject_id"),
        (study, _STUDY, "study_id"),
        (image, _DICOM, "dicom_id"),
    ):
        if not pattern.fullmatch(text):
            raise InputError(f"{text!r} is not a {what} of MIMIC-CXR")


def read_splits(table: Path) -> dict[str, Split]:
    """The official split of each subject. Raises InputError if the table has one in two splits."""
    splits: dict[str, Split] = {}
    for row in read_rows(table, ("subject_id", "split")):
        if row is None or row["split"] not in get_args(Split):
            continue  # its image has no split, unless another row of the patient gives it
        split = parse_split(row["split"], {})
        if splits.setdefault(row["subject_id"], split) != split:
            raise InputError(
                f"{table}: subject {row['subject_id']!r} is in both "
                f"{splits[row['subject_id']]} and {split}; use split.published=p19 or fractions"
            )
    return splits


def read_labels(
    table: Path, columns: Mapping[FindingName, str] = LABEL_COLUMNS
) -> dict[str, str | InputError]:
    """The labels of each study, or the error in its row."""
    labels: dict[str, str | InputError] = {}
    codes: dict[str, str] = {}  # few differ
    for row in read_rows(table, ("study_id", *columns.values())):
        if row is None:
            continue  # its study has no labels, which is counted
        study = row["study_id"]
        code: str | InputError
        try:
            code = encode_labels(row, columns)
            code = codes.setdefault(code, code)
        except InputError as error:
            code = error
        if study in labels and (isinstance(code, InputError) or labels[study] != code):
            code = InputError(f"{table.name} has the study twice, with different labels")
        labels[study] = code
    return labels


Settings = TypeVar("Settings", bound=MimicSettings)


@dataclass(frozen=True)
class MimicReader(ImageCorpusReader[Settings]):
    """Head of both readers."""

    license = LICENSE
    published_splits = ("official", "p19")
    has_reports = True
    report_setting = "reports"
    patient_settings: ClassVar = {"age": "patients", "sex": "patients", "race": "admissions"}

    def scan_images(
        self, scan: Scan, rows: Iterable[MimicRow], files: FolderListing, sources: MimicSources
    ) -> None:
        """Accept or exclude each row; cheap checks come before a look at the disk."""
        c = self.config
        splits: dict[str, Split | InputError] = {}
        seen: set[str] = set()  # subjects and studies, which begin with another digit
        for row in rows:
            with scan.excluding(row.id or "(no id)"):
                check_ids(row.subject, row.study, row.id)
                view = None
                if row.view is not None:
                    view = c.view_of(row.view.strip(), VIEW_WORDS)
                split = splits.get(row.subject)
                if split is None:
                    split = splits[row.subject] = self._split_of_subject(row.subject, sources)
                if isinstance(split, InputError):
                    raise InputError(str(split))  # one that is raised again gathers tracebacks
                labels = sources.labels.get(row.study, NO_LABELS)
                if isinstance(labels, InputError):
                    raise InputError(str(labels))
                files.find(row.path)
                report = sources.reports.place(row.subject, row.study) if sources.reports else None
                if c.require_report and report is None:
                    raise UnwantedError("the study has no report")
                patient = sources.patients.known.get(row.subject, Patient())
                lost = [*lost_age(patient.birth_year, row.date)]
                if row.subject not in seen:
                    lost += sources.patients.unmapped.get(row.subject, ())
                if row.study not in seen:
                    if sources.reports and report is None:
                        lost.append(Unmapped("report", "", "the study's images are taken"))
                    if sources.labels and row.study not in sources.labels:
                        lost.append(Unmapped("labels", "", "the study's images are taken"))
                seen |= {row.subject, row.study}
                item = MimicItem(
                    id=row.id,
                    patient=row.subject,
                    study=row.study,
                    split=split,
                    path=row.path,
                    view=view,
                    findings=decode_labels(labels),
                    sex=patient.sex,
                    race=patient.race,
                    date=row.date,
                    birth_year=patient.birth_year,
                    place=report,
                )
                scan.accept(item, lost)

    def _split_of_subject(self, subject: str, sources: MimicSources) -> Split | InputError:
        published: Split | None = None
        if sources.published is not None:
            published = sources.published.get(subject)
        elif self.split.published == "p19":
            published = "test" if subject.startswith("19") else "train"
        try:
            return self.split_of(subject, published)
        except InputError as error:
            return error

    def mimic_radiograph(
        self, item: MimicItem, reports: Path | None, view: View | None, date: str | None
    ) -> Radiograph:
        """The record of an item. Raises InputError for a damaged image or report."""
        report = None
        if item.place is not None:
            assert reports is not None
            report = parse_report(read_report(reports, item.place))
        age = age_at(item.birth_year, date)
        return self.radiograph(item, self.image(item), view=view, report=report, age=age)


def exclude_empty_studies(scan: Scan, named: Iterable[str], studies: Container[str]) -> None:
    """List the studies that a table names and that have no image in `studies`."""
    for study in named:
        if study not in studies:
            scan.exclude_optional(f"s{study}", "study without images")


def lost_age(birth_year: int | None, date: str | None) -> Iterator[Unmapped]:
    """The age that birth and date should give and do not."""
    if date and birth_year is not None and age_at(birth_year, date) is None:
        yield Unmapped("age", f"{birth_year} to {date}", "no possible age: left unknown")
