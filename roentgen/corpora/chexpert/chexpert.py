"""CheXpert v1.0, full and small, and CheXpert Plus with its reports (Stanford AIMI)."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from roentgen.corpora.chexpert.chexpert_plus import ChexpertRow, PlusColumns, plus_report, read_plus
from roentgen.corpora.image_corpus import (
    ImageCorpusConfig,
    ImageCorpusReader,
    ImageItem,
    ViewSettings,
)
from roentgen.corpora.reader import CorpusPlan, Unmapped
from roentgen.corpora.scanning.scan import WRONG_LENGTH, FolderListing, Scan, check_path
from roentgen.corpora.scanning.value_mapping import (
    NO_LABELS,
    decode_labels,
    encode_labels,
    parse_age,
    parse_sex,
    prompt_race,
)
from roentgen.errors import InputError, UnwantedError, require
from roentgen.manifest import License
from roentgen.record.finding import FINDING_NAMES
from roentgen.record.radiograph import Radiograph, Split, View

LICENSE = License(
    name="Stanford University Dataset Research Use Agreement",
    data_use=(
        "Non-commercial research only; no sharing of the data or parts of it; no attempt to "
        "identify patients; cite Irvin et al., AAAI 2019 (Plus: Chambon et al., 2024)."
    ),
    may_share=False,
)
# "Lateral" is the word where the AP/PA column is blank; LL and RL appear beside "Frontal", so one
# of the two is wrong.
VIEW_WORDS: dict[str, View | None] = {
    **{"AP": "AP", "PA": "PA", "Lateral": "LATERAL"},
    **{"LL": None, "RL": None},
}
_SPLITS: dict[str, Split] = {"train": "train", "valid": "validate"}
_PATH = re.compile(r"(train|valid)/(patient\d+)/(study\d+)/([^/]+)\.\w+")
_COLUMNS = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *FINDING_NAMES)
_LABELS = {name: name for name in FINDING_NAMES}
_SUFFIXES = (".jpg", ".png", ".dcm")  # Plus has the same images as PNG and DICOM


@dataclass(frozen=True, kw_only=True)
class ChexpertConfig(ImageCorpusConfig, ViewSettings):
    """CheXpert or CheXpert Plus, complete or in part."""

    root: Path
    """The folder with train/ and valid/: CheXpert-v1.0, CheXpert-v1.0-small, Plus's PNG; also the
    folder that holds "CheXpert-v1.0 batch 2 (train 1)" and the others."""
    train: str | None = "train.csv"
    """Table of the training images, below the root or as an absolute path; null: none."""
    valid: str | None = "valid.csv"
    """Table of the validation images; null: none."""
    plus: Path | None = None
    """CheXpert Plus's df_chexpert_plus_240401.csv, which then gives the images and reports; train
    and valid give the labels, where they exist."""
    plus_columns: PlusColumns = field(default_factory=PlusColumns)
    """The names of Plus's columns."""
    require_report: bool = False
    """Exclude images without findings and impression (Plus)."""

    def __post_init__(self) -> None:
        tables = (self.train, self.valid, self.plus)
        require(any(tables), "chexpert has no table: give train, valid or plus")
        require(
            self.plus is not None or not self.require_report,
            "chexpert.require_report needs chexpert.plus: CheXpert has no reports",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class ChexpertItem(ImageItem):
    """One image that passed the scan."""

    place: int | None  # of the report


@dataclass(frozen=True)
class ChexpertReader(ImageCorpusReader[ChexpertConfig]):
    """Reads CheXpert."""

    section = "chexpert"
    source = "CheXpert"
    license = LICENSE
    published_splits = ("official",)
    has_reports = True
    report_setting = "plus"

    def gives_section(self, section: str) -> bool:
        """Whether there are reports."""
        return self.config.plus is not None

    def plan(self) -> CorpusPlan:
        """Scan the tables and list the folders."""
        c = self.config
        files = FolderListing(c.root)
        tables = [c.root / name for name in (c.train, c.valid) if name is not None]
        found = [table for table in tables if table.is_file()]
        if not files.names("") or (c.plus is None and found != tables):
            names = " and ".join(name for name in (c.train, c.valid) if name is not None)
            raise self.wrong_root(f"{names}, train/ and valid/")
        scan = Scan(complete=c.complete)
        find = _finder(files)
        for row in _plus_rows(c, found, scan) if c.plus else _rows(found, scan):
            with scan.excluding(_name_of(row.path) or row.path):
                lost: list[Unmapped] = []
                scan.accept(self._plan_row(row, find, lost), lost)
        if scan.finds_no_file:
            raise self.wrong_root("images as train/patient00001/study1/view1_frontal.jpg")
        return scan.plan()

    def _plan_row(
        self, row: ChexpertRow, find: Callable[[str], str], lost: list[Unmapped]
    ) -> ChexpertItem:
        c = self.config
        path = _below_release(row.path)
        check_path(row.path)
        parts = _PATH.fullmatch(path)
        if parts is None:
            raise InputError("the path is not as train/patient00001/study1/view1_frontal.jpg")
        published, patient = _SPLITS[parts[1]], parts[2]
        view = c.view_of(row.view, VIEW_WORDS)
        if c.require_report and not row.has_report:
            raise UnwantedError("the image has no report")
        if c.plus is not None and not row.has_report:
            lost.append(Unmapped("report", "", "the image is taken"))
        if row.labels is None:
            lost.append(Unmapped("labels", "", "the image is taken"))
        if isinstance(row.labels, InputError):
            raise row.labels
        age = parse_age(row.age)
        if age == 0:  # the patients are adults: it means "unknown"
            lost.append(Unmapped("age", row.age, "of adults: left unknown"))
            age = None
        race = prompt_race(row.race)
        if row.race and race is None:
            lost.append(Unmapped("race", row.race, "no race that prompts name: left unknown"))
        return ChexpertItem(
            id=_name_of(path),
            patient=patient,
            study=f"{patient}/{parts[3]}",
            split=self.split_of(patient, published),
            view=view,
            findings=decode_labels(NO_LABELS if row.labels is None else row.labels),
            age=age,
            sex=parse_sex(row.sex),
            race=race,
            place=row.place if row.has_report else None,
            path=find(path),
        )

    def read(self, item: ChexpertItem) -> list[Radiograph]:
        """Read one image and its report."""
        c = self.config
        report = None
        if c.plus is not None and item.place is not None:
            report = plus_report(c.plus, item.place, c.plus_columns)
        source = "CheXpert Plus" if c.plus else None
        return [self.radiograph(item, self.image(item), report=report, source=source)]


def _below_release(path: str) -> str:
    """A path without "CheXpert-v1.0-small/" and the like before it."""
    top, _, rest = path.partition("/")
    return rest if top.startswith("CheXpert-v1.0") else path


def _name_of(path: str) -> str:
    """The id of an image; "" for a path that the corpus cannot have."""
    below = _below_release(path)
    return below.rpartition(".")[0] if _PATH.fullmatch(below) else ""


def _rows(tables: Sequence[Path], scan: Scan) -> Iterator[ChexpertRow]:
    codes: dict[str, str] = {}
    for table in tables:
        for _, row in scan.rows(table, _COLUMNS):
            labels: str | InputError
            try:
                labels = encode_labels(row, _LABELS)
                labels = codes.setdefault(labels, labels)
            except InputError as error:
                labels = error
            lateral = row["Frontal/Lateral"] == "Lateral"
            view = "Lateral" if lateral else row["AP/PA"].strip()
            yield ChexpertRow(row["Path"], view, row["Age"], row["Sex"], labels)


def _plus_rows(c: ChexpertConfig, tables: Sequence[Path], scan: Scan) -> Iterator[ChexpertRow]:
    assert c.plus is not None
    labels = {
        row.path.partition("/")[2].rpartition(".")[0]: row.labels for row in _rows(tables, scan)
    }
    for number, row in enumerate(read_plus(c.plus, c.plus_columns), start=1):
        if row is None:
            scan.exclude(f"{c.plus.name} row {number}", WRONG_LENGTH)
        else:
            yield row._replace(labels=labels.get(row.path.rpartition(".")[0]))


def _finder(files: FolderListing) -> Callable[[str], str]:
    """Finds an image: by its path, with another suffix, or in a batch as downloaded."""
    batches = sorted(name for name in files.names("") if name.startswith("CheXpert-v1.0 batch"))

    def find(path: str) -> str:
        stem, _, suffix = path.rpartition(".")
        below = path.partition("/")[2].rpartition(".")[0]
        stems = [stem, *(f"{b}/{s}" for b in batches for s in (stem, below))]
        suffixes = dict.fromkeys((f".{suffix}", *_SUFFIXES))
        return files.find(*(base + end for base in stems for end in suffixes))

    return find
