"""PadChest (Bustos et al., 2020): 16-bit PNGs, 174 finding labels, reports in Spanish."""

from dataclasses import dataclass, field
from pathlib import Path

from roentgen.corpora.image_corpus import (
    ImageCorpusConfig,
    ImageCorpusReader,
    ImageItem,
    ViewSettings,
)
from roentgen.corpora.padchest.labels import (
    default_meanings,
    parse_labels,
    parse_sides,
    to_findings,
)
from roentgen.corpora.reader import CorpusPlan, Unmapped
from roentgen.corpora.scanning.scan import (
    FolderListing,
    Scan,
    check_path,
    id_of_path,
    optional_file,
)
from roentgen.corpora.scanning.value_mapping import is_blank, parse_sex, years_between
from roentgen.errors import InputError, UnwantedError
from roentgen.manifest import License
from roentgen.record.finding import Finding
from roentgen.record.radiograph import Radiograph, Report, View

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


@dataclass(frozen=True, kw_only=True)
class PadchestConfig(ImageCorpusConfig, ViewSettings):
    """PadChest, complete or in part."""

    root: Path
    """The folder of the images: all in it, or in 0/ to 54/ as the archives have them."""
    table: str | None = None
    """The table, below the root or as an absolute path; null: its published name, also .gz."""
    meanings: dict[str, Finding | None] = field(default_factory=dict)
    """Labels with another meaning than ours; null: excluded by name."""
    exclude_labels: tuple[str, ...] = ("exclude",)
    """Labels whose images are not taken; "suboptimal study" is another candidate."""
    reports: bool = True
    """Take the reports: Spanish word stems, as the section "findings"."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PadchestItem(ImageItem):
    """One image; its labels, sides and report are as in the table, which takes less memory."""

    labels: str
    sides: str
    text: str | None


@dataclass(frozen=True)
class PadchestReader(ImageCorpusReader[PadchestConfig]):
    """Reads PadChest."""

    section = "padchest"
    source = "PadChest"
    license = LICENSE
    has_reports = True
    report_setting = "reports"

    def gives_section(self, section: str) -> bool:
        """The reports are one section."""
        return section == "findings" and self.config.reports

    def plan(self) -> CorpusPlan:
        """Scan the table and list the folders."""
        c = self.config
        table = optional_file(c.root, c.table, (TABLE, f"{TABLE}.gz"))
        if table is None:
            raise self.wrong_root(f"{TABLE} or {TABLE}.gz")
        files = FolderListing(c.root)
        scan = Scan(complete=c.complete)
        for place, row in scan.rows(table, (*_COLUMNS, *_MORE)):
            image = row["ImageID"]
            with scan.excluding(id_of_path(image) or place):
                lost: list[Unmapped] = []
                scan.accept(self._plan_row(row, files, lost), lost)
        if scan.finds_no_file:
            raise self.wrong_root(f"the images of {table.name}")
        return scan.plan()

    def _plan_row(
        self, row: dict[str, str], files: FolderListing, lost: list[Unmapped]
    ) -> PadchestItem:
        c = self.config
        image, patient = row["ImageID"], row["PatientID"]
        if not image or "/" in image or "/" in row["ImageDir"]:
            raise InputError(f"ImageID {image!r} in {row['ImageDir']!r} is not a file name")
        check_path(f"{row['ImageDir']}/{image}")
        if not patient:
            raise InputError("PatientID is blank: the split needs the patient")
        view = c.view_of(row["Projection"].strip(), VIEW_WORDS)
        labels = parse_labels(row["Labels"])
        unwanted = next((label for label in c.exclude_labels if label in labels), None)
        if unwanted is not None:
            raise UnwantedError(f"label {unwanted!r}: its images are excluded")
        _, unmapped = to_findings(labels, {}, default_meanings() | c.meanings)
        lost += unmapped
        if not labels:
            lost.append(Unmapped("labels", "", "the image is taken"))
        report = "" if is_blank(row["Report"]) else row["Report"].strip()
        if c.reports and not report:
            lost.append(Unmapped("report", "", "the image is taken"))
        return PadchestItem(
            id=id_of_path(image),
            patient=patient,
            study=row["StudyID"] or patient,
            split=self.split_of(patient),
            view=view,
            labels=row["Labels"],
            sides=row["LabelsLocalizationsBySentence"],
            text=(report or None) if c.reports else None,
            age=_age(row["StudyDate_DICOM"], row["PatientBirth"], lost),
            sex=parse_sex(row["PatientSex_DICOM"]),
            path=files.find(image, f"{row['ImageDir']}/{image}"),
        )

    @property
    def white(self) -> int:
        """The maximum of 16 bits."""
        return 65535

    def read(self, item: PadchestItem) -> list[Radiograph]:
        """Read one image."""
        labels, sides = parse_labels(item.labels), parse_sides(item.sides)
        findings, _ = to_findings(labels, sides, default_meanings() | self.config.meanings)
        report = Report(findings=item.text) if item.text else None
        return [self.radiograph(item, self.image(item), findings=findings, report=report)]


def _age(date: str, birth: str, lost: list[Unmapped]) -> float | None:
    """Years, to the year: the table has a year of birth only."""
    if not birth.strip() or birth in ("None", "nan"):
        return None
    try:
        age = years_between(int(float(birth)), date)
    except ValueError:
        age = None
    if age is None:
        lost.append(Unmapped("age", f"{birth} to {date}", "no possible age: left unknown"))
    return age
