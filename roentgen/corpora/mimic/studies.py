"""What the readers of MIMIC-CXR and MIMIC-CXR-JPG share: the rows' way into a plan, and reading."""

import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, get_args

from roentgen.corpora.mimic.patients import Patient, Patients, age_at
from roentgen.corpora.mimic.reports import ReportSource, read_report
from roentgen.corpora.reader import Unmapped
from roentgen.corpora.scanning.label_codes import NOTHING_SAID, decode_labels, encode_labels
from roentgen.corpora.scanning.rows import read_rows
from roentgen.corpora.scanning.scan import Scan, UnwantedError, wanted_view
from roentgen.corpora.scanning.value_mapping import parse_split
from roentgen.errors import InputError
from roentgen.imaging.images import Fit, encode_png, prepare_image
from roentgen.manifest import License
from roentgen.record.findings import FINDING_NAMES, FindingName
from roentgen.record.radiograph import Radiograph, Sex, Split
from roentgen.record.splits import SplitRules
from roentgen.record.views import VIEWS, View
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
PUBLISHED_SPLITS = ("official", "p19")
LABEL_COLUMNS: dict[FindingName, str] = {name: name for name in FINDING_NAMES}

_SUBJECT = re.compile(r"1\d{7}")
_STUDY = re.compile(r"5\d{7}")
_DICOM = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{8}){4}")


@dataclass(frozen=True, kw_only=True)
class MimicOptions:
    """What both forms of MIMIC-CXR leave to choose."""

    patients: Path | None = None
    """MIMIC-IV's hosp/patients.csv.gz, for age and sex; null: unknown."""
    admissions: Path | None = None
    """MIMIC-IV's hosp/admissions.csv.gz, for race; null: unknown."""
    views: tuple[View, ...] = VIEWS
    """The views to take."""
    view_words: dict[str, View | None] = field(default_factory=dict)
    """What further words of ViewPosition mean; null: excluded by name."""
    take_blank_view: bool = False
    """Take images whose view is not given; their view stays unknown."""
    need_report: bool = False
    """Exclude images whose study has no report."""
    whole_tree: bool = False
    """Whether all files should be here: a missing one is then a bad item. False: a partial copy,
    whose missing files are counted only."""


class MimicRow(NamedTuple):
    """One image as the tables have it."""

    id: str
    subject: str
    study: str
    path: str  # below the root
    view: str | None  # the word; None where only the image's header knows
    date: str | None  # YYYYMMDD, shifted; None where only the header knows


class MimicItem(NamedTuple):
    """One image that passed the scan."""

    id: str
    subject: str
    study: str
    path: str
    split: Split
    view: View | None
    date: str | None
    labels: str
    report: str | None
    birth_year: int | None
    sex: Sex | None
    race: str | None


@dataclass(frozen=True, kw_only=True)
class MimicSources:
    """The tables and folders that the rows are joined with."""

    split: SplitRules
    seed: int
    published: Mapping[str, Split] | None  # of each subject; None: not the official split
    labels: Mapping[str, str | InputError]  # by study: a code, or why its row cannot be used
    patients: Patients
    reports: ReportSource | None


def check_ids(subject: str, study: str, image: str) -> None:
    """Raise InputError for identifiers that MIMIC does not have; they become parts of paths."""
    for text, pattern, what in (
        (subject, _SUBJECT, "subject_id"),
        (study, _STUDY, "study_id"),
        (image, _DICOM, "dicom_id"),
    ):
        if not pattern.fullmatch(text):
            raise InputError(f"{text!r} is no {what} of MIMIC-CXR")


def read_splits(table: Path) -> dict[str, Split]:
    """The official split of each subject. Raises InputError if the table has one in two splits."""
    splits: dict[str, Split] = {}
    for row in read_rows(table, ("subject_id", "split")):
        if row is None or row["split"] not in get_args(Split):
            continue  # its image meets no split, unless another row of the patient tells it
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
    """The labels of each study, or what is wrong with them."""
    labels: dict[str, str | InputError] = {}
    codes: dict[str, str] = {}  # few are different
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


def scan_images(
    scan: Scan,
    rows: Iterable[MimicRow],
    has_file: Callable[[str], bool],
    options: MimicOptions,
    sources: MimicSources,
) -> None:
    """Take or exclude each row; what is cheap to tell comes before a look at the disk."""
    words = VIEW_WORDS | options.view_words
    splits: dict[str, Split | InputError] = {}
    seen: set[str] = set()  # subjects and studies, which begin with another digit
    for row in rows:
        try:
            check_ids(row.subject, row.study, row.id)
            view = None
            if row.view is not None:
                word, blank = row.view.strip(), options.take_blank_view
                view = wanted_view(word, words, options.views, blank=blank)
            split = splits.get(row.subject)
            if split is None:
                split = splits[row.subject] = _split_of(row.subject, sources)
            if isinstance(split, InputError):
                raise InputError(str(split))  # one that is raised again gathers tracebacks
            labels = sources.labels.get(row.study, NOTHING_SAID)
            if isinstance(labels, InputError):
                raise InputError(str(labels))
        except InputError as error:
            scan.drop(row.id or "(no id)", str(error), expected=isinstance(error, UnwantedError))
            continue
        if not has_file(row.path):
            scan.missing(row.id)
            continue
        report = sources.reports.place(row.subject, row.study) if sources.reports else None
        if options.need_report and report is None:
            scan.drop(row.id, "the study has no report", expected=True)
            continue
        patient = sources.patients.known.get(row.subject, Patient())
        lost = [*age_lost(patient.birth_year, row.date)]
        if row.subject not in seen:
            lost += sources.patients.unmapped.get(row.subject, ())
        if row.study not in seen:
            if sources.reports and report is None:
                lost.append(Unmapped("report", "", "the study's images are taken"))
            if sources.labels and row.study not in sources.labels:
                lost.append(Unmapped("labels", "", "the study's images are taken"))
        seen |= {row.subject, row.study}
        scan.keep(MimicItem(*row[:4], split, view, row.date, labels, report, *patient), lost)


def tell_empty_studies(scan: Scan, named: Iterable[str], studies: Container[str]) -> None:
    """Tell the studies that a table names and that have no image in `studies`."""
    for study in named:
        if study not in studies:
            scan.absent(f"s{study}", "study without images")


def read_image(
    item: MimicItem,
    root: Path,
    reports: Path | None,
    size: int,
    fit: Fit,
    *,
    view: View | None,
    date: str | None,
    source: str,
) -> Radiograph:
    """The radiograph of an item. Raises InputError for an image or report that cannot be read."""
    report = None
    if item.report is not None:
        assert reports is not None
        report = parse_report(read_report(reports, item.report))
    return Radiograph(
        id=item.id,
        patient_id=item.subject,
        study_id=item.study,
        split=item.split,
        image=encode_png(prepare_image(root / item.path, size, fit)),
        view=view,
        findings=decode_labels(item.labels),
        report=report,
        age=age_at(item.birth_year, date),
        sex=item.sex,
        race=item.race,
        source=source,
        license=LICENSE.name,
    )


def _split_of(subject: str, sources: MimicSources) -> Split | InputError:
    published: Split | None = None
    if sources.published is not None:
        published = sources.published.get(subject)
    elif sources.split.published == "p19":
        published = "test" if subject.startswith("19") else "train"
    try:
        return sources.split.of_patient(subject, sources.seed, published)
    except InputError as error:
        return error


def age_lost(birth_year: int | None, date: str | None) -> Iterator[Unmapped]:
    """The age that birth and date should give and do not."""
    if date and birth_year is not None and age_at(birth_year, date) is None:
        yield Unmapped("age", f"{birth_year} to {date}", "no age of a person: left unknown")
