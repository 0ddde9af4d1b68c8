"""CheXpert v1.0, full and small, and CheXpert Plus with its reports (Stanford AIMI)."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from roentgen.corpora.chexpert.chexpert_plus import PlusColumns, plus_report, read_plus
from roentgen.corpora.reader import Plan, Unmapped
from roentgen.corpora.scanning.file_index import wrong_root
from roentgen.corpora.scanning.label_codes import NOTHING_SAID, decode_labels, encode_labels
from roentgen.corpora.scanning.race import prompt_race
from roentgen.corpora.scanning.row_filter import check_path
from roentgen.corpora.scanning.rows import read_rows
from roentgen.corpora.scanning.scan import Listing, Scan, UnwantedError, wanted_view
from roentgen.corpora.scanning.value_mapping import parse_age, parse_sex
from roentgen.errors import InputError
from roentgen.imaging.images import Fit, encode_png, prepare_image
from roentgen.manifest import License
from roentgen.record.findings import FINDING_NAMES
from roentgen.record.radiograph import Radiograph, Sex, Split
from roentgen.record.splits import SplitRules
from roentgen.record.views import VIEWS, View
from roentgen.setting_checks import require

LICENSE = License(
    name="Stanford University Dataset Research Use Agreement",
    data_use=(
        "Non-commercial research only; no sharing of the data or parts of it; no attempt to "
        "identify patients; cite Irvin et al., AAAI 2019 (Plus: Chambon et al., 2024)."
    ),
    may_share=False,
)
# "Lateral" is the table's word where the AP/PA column is blank; LL and RL stand beside "Frontal",
# so one of the two is wrong.
VIEW_WORDS: dict[str, View | None] = {
    **{"AP": "AP", "PA": "PA", "Lateral": "LATERAL"},
    **{"LL": None, "RL": None},
}
_SPLITS: dict[str, Split] = {"train": "train", "valid": "validate"}
_PATH = re.compile(r"(train|valid)/(patient\d+)/(study\d+)/([^/]+)\.\w+")
_COLUMNS = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *FINDING_NAMES)
_LABELS = {name: name for name in FINDING_NAMES}
_SUFFIXES = (".jpg", ".png", ".dcm")  # Plus has the same films as PNG and DICOM


@dataclass(frozen=True, kw_only=True)
class ChexpertConfig:
    """CheXpert or CheXpert Plus, whole or in part."""

    root: Path
    """The folder with train/ and valid/: CheXpert-v1.0, CheXpert-v1.0-small, Plus's PNG; also the
    folder that holds "CheXpert-v1.0 batch 2 (train 1)" and the others."""
    train: str | None = "train.csv"
    """Table of the training images, below the root or as an absolute path; null: none."""
    valid: str | None = "valid.csv"
    """Table of the validation images; null: none."""
    plus: Path | None = None
    """CheXpert Plus's df_chexpert_plus_240401.csv: the images and reports are its; train and valid
    then give the labels, where they are there."""
    plus_columns: PlusColumns = field(default_factory=PlusColumns)
    """The names of Plus's columns."""
    views: tuple[View, ...] = VIEWS
    """The views to take."""
    view_words: dict[str, View | None] = field(default_factory=dict)
    """What further words for the view mean; null: excluded by name."""
    take_blank_view: bool = False
    """Take frontal images of which AP or PA is not given; their view stays unknown."""
    need_report: bool = False
    """Exclude images without findings and impression (Plus)."""
    whole_tree: bool = False
    """Whether all files should be here: a missing one is then a bad item."""

    def __post_init__(self) -> None:
        tables = (self.train, self.valid, self.plus)
        require(any(tables), "chexpert has no table: give train, valid or plus")
        require(
            self.plus is not None or not self.need_report,
            "chexpert.need_report needs chexpert.plus: CheXpert has no reports",
        )


class ChexpertRow(NamedTuple):
    """One image as a table has it."""

    path: str
    view: str
    age: str
    sex: str
    labels: str | InputError | None  # None: no table has the image
    race: str = ""
    place: int | None = None  # of the report
    has_report: bool = False


class ChexpertItem(NamedTuple):
    """One image that passed the scan."""

    id: str
    patient: str
    path: str
    split: Split
    view: View | None
    labels: str
    age: float | None
    sex: Sex | None
    race: str | None
    place: int | None


@dataclass(frozen=True)
class ChexpertReader:
    """Reads CheXpert; see `roentgen.corpora.reader.CorpusReader`."""

    config: ChexpertConfig
    split: SplitRules
    size: int
    fit: Fit
    seed: int

    @property
    def licenses(self) -> Sequence[License]:
        """Stanford's terms."""
        return (LICENSE,)

    def plan(self) -> Plan:
        """Scan the tables and list the folders."""
        c = self.config
        self.split.check_published(("official",))
        listing = Listing(c.root)
        tables = [c.root / name for name in (c.train, c.valid) if name is not None]
        found = [table for table in tables if table.is_file()]
        if not listing.names("") or (c.plus is None and found != tables):
            wanted = " and ".join(name for name in (c.train, c.valid) if name is not None)
            raise wrong_root("chexpert.root", c.root, f"{wanted}, train/ and valid/")
        scan = Scan(whole=c.whole_tree)
        find = _finder(listing)
        rows = _plus_rows(c, found, scan) if c.plus else _rows(found, scan)
        for row in rows:
            lost: list[Unmapped] = []
            try:
                item = self._plan_row(row, lost)
            except InputError as error:
                name = _name_of(row.path) or row.path
                scan.drop(name, str(error), expected=isinstance(error, UnwantedError))
                continue
            path = find(item.path)
            if path is None:
                scan.missing(item.id)
            else:
                scan.keep(item._replace(path=path), lost)
        if scan.files_missing and not scan.items:
            expected = "images as train/patient00001/study1/view1_frontal.jpg"
            raise wrong_root("chexpert.root", c.root, expected)
        return scan.plan()

    def _plan_row(self, row: ChexpertRow, lost: list[Unmapped]) -> ChexpertItem:
        c = self.config
        path = _below_release(row.path)
        check_path(row.path)
        parts = _PATH.fullmatch(path)
        if parts is None:
            raise InputError("the path is not as train/patient00001/study1/view1_frontal.jpg")
        published, patient = _SPLITS[parts[1]], parts[2]
        words = VIEW_WORDS | c.view_words
        view = wanted_view(row.view, words, c.views, blank=c.take_blank_view)
        if c.need_report and not row.has_report:
            raise UnwantedError("the image has no report")
        if c.plus is not None and not row.has_report:
            lost.append(Unmapped("report", "", "the image is taken"))
        if row.labels is None:
            lost.append(Unmapped("labels", "", "the image is taken"))
        if isinstance(row.labels, InputError):
            raise row.labels
        age = parse_age(row.age)
        if age == 0:  # the patients are adults: it stands for "not known"
            lost.append(Unmapped("age", row.age, "of adults: left unknown"))
            age = None
        race = prompt_race(row.race)
        if row.race and race is None:
            lost.append(Unmapped("race", row.race, "no race of a prompt: left unknown"))
        return ChexpertItem(
            id=_name_of(path),
            patient=patient,
            path=path,
            split=self.split.of_patient(patient, self.seed, published),
            view=view,
            labels=NOTHING_SAID if row.labels is None else row.labels,
            age=age,
            sex=parse_sex(row.sex),
            race=race,
            place=row.place if row.has_report else None,
        )

    def read(self, item: ChexpertItem) -> list[Radiograph]:
        """Read one image and its report."""
        c = self.config
        report = None
        if c.plus is not None and item.place is not None:
            report = plus_report(c.plus, item.place, c.plus_columns)
        radiograph = Radiograph(
            id=item.id,
            patient_id=item.patient,
            study_id="/".join(item.id.split("/")[1:3]),
            split=item.split,
            image=encode_png(prepare_image(c.root / item.path, self.size, self.fit)),
            view=item.view,
            findings=decode_labels(item.labels),
            report=report,
            age=item.age,
            sex=item.sex,
            race=item.race,
            source="CheXpert" if c.plus is None else "CheXpert Plus",
            license=LICENSE.name,
        )
        return [radiograph]


def _below_release(path: str) -> str:
    """A path without "CheXpert-v1.0-small/" and the like before it."""
    top, _, rest = path.partition("/")
    return rest if top.startswith("CheXpert-v1.0") else path


def _name_of(path: str) -> str:
    """The id of an image; "" for a path that is none of the corpus."""
    below = _below_release(path)
    return below.rpartition(".")[0] if _PATH.fullmatch(below) else ""


def _rows(tables: Sequence[Path], scan: Scan) -> Iterator[ChexpertRow]:
    codes: dict[str, str] = {}
    for table in tables:
        for number, row in enumerate(read_rows(table, _COLUMNS), start=1):
            if row is None:
                name = f"{table.name} row {number}"
                scan.drop(name, "the row has not as many fields as the header")
                continue
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
    for number, (place, plus) in enumerate(read_plus(c.plus, c.plus_columns), start=1):
        if plus is None:
            name = f"{c.plus.name} row {number}"
            scan.drop(name, "the row has not as many fields as the header")
            continue
        yield ChexpertRow(
            plus.path,
            plus.view,
            plus.age,
            plus.sex,
            labels.get(plus.path.rpartition(".")[0]),
            race=plus.race,
            place=place,
            has_report=plus.has_report,
        )


def _finder(listing: Listing) -> Callable[[str], str | None]:
    """Where an image is: as its path says, with another suffix, or in a batch as downloaded."""
    batches = sorted(name for name in listing.names("") if name.startswith("CheXpert-v1.0 batch"))

    def find(path: str) -> str | None:
        stem, _, suffix = path.rpartition(".")
        below = path.partition("/")[2].rpartition(".")[0]
        stems = [stem, *(f"{b}/{s}" for b in batches for s in (stem, below))]
        for base in stems:
            for end in dict.fromkeys((f".{suffix}", *_SUFFIXES)):
                if listing.has(base + end):
                    return base + end
        return None

    return find
