"""PadChest (Bustos et al., 2020): 16-bit PNGs, 174 finding labels, reports in Spanish."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from roentgen.corpora.padchest.labels import MEANINGS, parse_labels, parse_sides, to_findings
from roentgen.corpora.reader import Plan, Unmapped
from roentgen.corpora.scanning.file_index import optional_file, wrong_root
from roentgen.corpora.scanning.row_filter import check_path
from roentgen.corpora.scanning.rows import read_rows
from roentgen.corpora.scanning.scan import Listing, Scan, UnwantedError, wanted_view
from roentgen.corpora.scanning.value_mapping import parse_sex
from roentgen.errors import InputError
from roentgen.imaging.images import Fit, encode_png, prepare_image
from roentgen.manifest import License
from roentgen.record.findings import Finding
from roentgen.record.radiograph import Radiograph, Report, Sex, Split
from roentgen.record.splits import SplitRules
from roentgen.record.views import VIEWS, View

LICENSE = License(
    name="PadChest Dataset Research Use Agreement",
    data_use=(
        "Non-commercial research only; no sharing with others; no attempt to identify patients; "
        "cite Bustos et al., Medical Image Analysis 66, 2020."
    ),
    may_share=False,
)
TABLE = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"
VIEW_WORDS: dict[str, View | None] = {
    **{"PA": "PA", "AP": "AP", "AP_horizontal": "AP", "L": "LATERAL"},
    **{"COSTAL": None, "EXCLUDE": None, "UNK": None},
}
_COLUMNS = ("ImageID", "ImageDir", "StudyID", "PatientID", "PatientBirth", "PatientSex_DICOM")
_MORE = ("StudyDate_DICOM", "Projection", "Labels", "LabelsLocalizationsBySentence", "Report")
_OLDEST = 120  # years


@dataclass(frozen=True, kw_only=True)
class PadchestConfig:
    """PadChest, whole or in part."""

    root: Path
    """The folder of the images: all in it, or in 0/ to 54/ as the archives have them."""
    table: str | None = None
    """The table, below the root or as an absolute path; null: its published name, also .gz."""
    meanings: dict[str, Finding | None] = field(default_factory=dict)
    """What a label means where that shall differ; null: excluded by name."""
    exclude_labels: tuple[str, ...] = ("exclude",)
    """Labels whose images are not taken; "suboptimal study" is another candidate."""
    reports: bool = True
    """Take the reports: Spanish word stems, as the section "findings"."""
    views: tuple[View, ...] = VIEWS
    """The views to take."""
    view_words: dict[str, View | None] = field(default_factory=dict)
    """What further words of Projection mean; null: excluded by name."""
    whole_tree: bool = False
    """Whether all files should be here: a missing one is then a bad item."""


class PadchestItem(NamedTuple):
    """One image that passed the scan."""

    id: str
    patient: str
    study: str
    path: str
    split: Split
    view: View | None
    labels: str
    sides: str
    report: str | None
    age: float | None
    sex: Sex | None


@dataclass(frozen=True)
class PadchestReader:
    """Reads PadChest; see `roentgen.corpora.reader.CorpusReader`."""

    config: PadchestConfig
    split: SplitRules
    size: int
    fit: Fit
    seed: int

    @property
    def licenses(self) -> Sequence[License]:
        """The terms of BIMCV."""
        return (LICENSE,)

    def plan(self) -> Plan:
        """Scan the table and list the folders."""
        c = self.config
        self.split.check_published(())
        table = optional_file(c.root, c.table, (TABLE, f"{TABLE}.gz"))
        if table is None:
            raise wrong_root("padchest.root", c.root, f"{TABLE} or {TABLE}.gz")
        listing = Listing(c.root)
        scan = Scan(whole=c.whole_tree)
        for number, row in enumerate(read_rows(table, (*_COLUMNS, *_MORE)), start=1):
            if row is None:
                name = f"{table.name} row {number}"
                scan.drop(name, "the row has not as many fields as the header")
                continue
            lost: list[Unmapped] = []
            try:
                item = self._plan_row(row, lost)
            except InputError as error:
                name = row["ImageID"] or f"row {number}"
                scan.drop(name, str(error), expected=isinstance(error, UnwantedError))
                continue
            places = (row["ImageID"], f"{row['ImageDir']}/{row['ImageID']}")
            path = next((place for place in places if listing.has(place)), None)
            if path is None:
                scan.missing(item.id)
            else:
                scan.keep(item._replace(path=path), lost)
        if scan.files_missing and not scan.items:
            raise wrong_root("padchest.root", c.root, f"the images of {table.name}")
        return scan.plan()

    def _plan_row(self, row: dict[str, str], lost: list[Unmapped]) -> PadchestItem:
        c = self.config
        image, patient = row["ImageID"], row["PatientID"]
        if not image or "/" in image or "/" in row["ImageDir"]:
            raise InputError(f"ImageID {image!r} in {row['ImageDir']!r} is no file's name")
        check_path(f"{row['ImageDir']}/{image}")
        if not patient:
            raise InputError("PatientID is blank: the split needs the patient")
        words = VIEW_WORDS | c.view_words
        view = wanted_view(row["Projection"].strip(), words, c.views, blank=False)
        labels = parse_labels(row["Labels"])
        unwanted = next((label for label in c.exclude_labels if label in labels), None)
        if unwanted is not None:
            raise UnwantedError(f"label {unwanted!r}: its images are not wanted")
        _, unmapped = to_findings(labels, {}, MEANINGS | c.meanings)
        lost += unmapped
        if not labels:
            lost.append(Unmapped("labels", "", "the image is taken"))
        report = row["Report"].strip()
        if c.reports and not report:
            lost.append(Unmapped("report", "", "the image is taken"))
        return PadchestItem(
            id=str(PurePosixPath(image).with_suffix("")),
            patient=patient,
            study=row["StudyID"] or patient,
            path="",
            split=self.split.of_patient(patient, self.seed, None),
            view=view,
            labels=row["Labels"],
            sides=row["LabelsLocalizationsBySentence"],
            report=(report or None) if c.reports else None,
            age=_age(row["StudyDate_DICOM"], row["PatientBirth"], lost),
            sex=parse_sex(row["PatientSex_DICOM"]),
        )

    def read(self, item: PadchestItem) -> list[Radiograph]:
        """Read one image."""
        c = self.config
        labels, sides = parse_labels(item.labels), parse_sides(item.sides)
        findings, _ = to_findings(labels, sides, MEANINGS | c.meanings)
        radiograph = Radiograph(
            id=item.id,
            patient_id=item.patient,
            study_id=item.study,
            split=item.split,
            image=encode_png(prepare_image(c.root / item.path, self.size, self.fit)),
            view=item.view,
            findings=findings,
            report=Report(findings=item.report) if item.report else None,
            age=item.age,
            sex=item.sex,
            source="PadChest",
            license=LICENSE.name,
        )
        return [radiograph]


def _age(date: str, birth: str, lost: list[Unmapped]) -> float | None:
    """Years, to the year: the table has a year of birth only."""
    if not birth.strip() or birth in ("None", "nan"):
        return None
    try:
        age = int(date[:4]) - int(float(birth))
    except ValueError:
        age = -1
    if not 0 <= age <= _OLDEST:
        lost.append(Unmapped("age", f"{birth} to {date}", "no age of a person: left unknown"))
        return None
    return float(age)
