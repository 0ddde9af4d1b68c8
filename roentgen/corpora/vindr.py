"""VinDr-CXR: films that three radiologists read, with boxes; PhysioNet's and Kaggle's files.

A finding is present where more than half of a film's readers marked it, uncertain where fewer did.
Findings that the readers' list holds under the same name are absent where nobody marked them.
The boxes of all readers are kept as drawn. The official test films have one reading, agreed upon.
No file says which patient a film is of: each film counts as a patient.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from roentgen.corpora.reader import Plan, Unmapped
from roentgen.corpora.scanning.dicom_header import film_header
from roentgen.corpora.scanning.file_index import FileIndex, first_of, wrong_root
from roentgen.corpora.scanning.rows import column_names, read_rows
from roentgen.corpora.scanning.scan import Scan
from roentgen.corpora.scanning.value_mapping import unmapped_finding
from roentgen.errors import InputError
from roentgen.imaging.boxes import place_box
from roentgen.imaging.images import Fit, encode_png, image_size, prepare_image
from roentgen.manifest import License
from roentgen.record.findings import FINDING_NAMES, Finding, FindingName, State
from roentgen.record.radiograph import Radiograph, Split
from roentgen.record.splits import SplitRules

LICENSE = License(
    name="PhysioNet Credentialed Health Data License 1.5.0",
    data_use="For credentialed users who signed the data use agreement (Kaggle: the terms of the "
    "VinBigData challenge); do not pass the data on or try to identify patients.",
    may_share=False,
)
MEANINGS: dict[str, Finding | None] = {
    "Aortic enlargement": None,
    "Atelectasis": Finding(name="Atelectasis"),
    "Calcification": None,
    "Cardiomegaly": Finding(name="Cardiomegaly"),
    "Clavicle fracture": Finding(name="Fracture", detail="clavicle fracture"),
    "Consolidation": Finding(name="Consolidation"),
    "COPD": None,
    "Edema": Finding(name="Edema"),
    "Emphysema": None,
    "Enlarged PA": None,
    "ILD": None,
    "Infiltration": Finding(name="Lung Opacity", detail="infiltrate"),
    "Lung Opacity": Finding(name="Lung Opacity"),
    "Lung cavity": Finding(name="Lung Lesion", detail="cavity"),
    "Lung cyst": None,
    "Lung tumor": Finding(name="Lung Lesion", detail="mass"),
    "Mediastinal shift": None,
    "No finding": Finding(name="No Finding"),
    "Nodule/Mass": Finding(name="Lung Lesion"),
    "Other disease": None,
    "Other diseases": None,
    "Other lesion": None,
    "Pleural effusion": Finding(name="Pleural Effusion"),
    "Pleural thickening": Finding(name="Pleural Other", detail="pleural thickening"),
    "Pneumonia": Finding(name="Pneumonia"),
    "Pneumothorax": Finding(name="Pneumothorax"),
    "Pulmonary fibrosis": None,
    "Rib fracture": Finding(name="Fracture", detail="rib fracture"),
    "Tuberculosis": None,
}
# On the readers' list under the same name: not marked is absent. Of others (a "lung opacity" that
# is no consolidation, no nodule, ...) it would be a guess.
_LISTED: dict[str, FindingName] = {
    "Atelectasis": "Atelectasis",
    "Cardiomegaly": "Cardiomegaly",
    "Consolidation": "Consolidation",
    "Edema": "Edema",
    "Pleural effusion": "Pleural Effusion",
    "Pneumonia": "Pneumonia",
    "Pneumothorax": "Pneumothorax",
}
_KAGGLE = ("Atelectasis", "Cardiomegaly", "Consolidation", "Pleural effusion", "Pneumothorax")
_AGREED = "agreed"  # the reader's name where there is one reading
_EDGES = ("x_min", "y_min", "x_max", "y_max")
_PARTS: tuple[Split, ...] = ("train", "test")
_DICOM = (".dicom", ".dcm")  # the boxes hold on films of the original size only

Votes = dict[str, set[str]]  # words by reader


@dataclass(frozen=True, kw_only=True)
class VindrConfig:
    """VinDr-CXR: the folder from PhysioNet, or the one of Kaggle's VinBigData challenge."""

    root: Path
    """PhysioNet: the folder with annotations/, train/ and test/. Kaggle: train.csv and train/."""
    whole_tree: bool = False
    """Whether all films should be here: a missing one is then a bad item."""


class VindrItem(NamedTuple):
    """One film."""

    id: str
    split: Split
    path: str  # below root
    findings: tuple[Finding, ...]
    boxes: tuple[tuple[str, float, float, float, float], ...]  # structure, left, top, right, bottom


@dataclass
class _Readings:
    """What all readers say of a film."""

    votes: Votes = field(default_factory=dict)
    boxes: list[tuple[str, float, float, float, float]] = field(default_factory=list)
    wrong: str | None = None

    def unmapped(self) -> Iterator[Unmapped]:
        """The words of each reader that become no finding."""
        for words in self.votes.values():
            for word in sorted(words):
                if MEANINGS.get(word) is None:
                    yield unmapped_finding(word, MEANINGS)

    def add_box(self, word: str, row: Mapping[str, str]) -> None:
        cells = [row[name] for name in _EDGES]
        if not any(cells):
            return
        try:
            left, top, right, bottom = map(float, cells)
        except ValueError:
            self.wrong = f"a box of {word} has something else than four numbers"
        else:
            self.boxes.append((word.lower(), left, top, right, bottom))


@dataclass(frozen=True)
class VindrReader:
    """Reads VinDr-CXR; see `roentgen.corpora.reader.CorpusReader`."""

    config: VindrConfig
    split: SplitRules
    size: int
    fit: Fit
    seed: int

    def __post_init__(self) -> None:
        self.split.check_published(("official",))

    @property
    def licenses(self) -> Sequence[License]:
        """PhysioNet's licence for credentialed users."""
        return (LICENSE,)

    def plan(self) -> Plan:
        """The films that the tables name."""
        root = self.config.root
        scan = Scan(whole=self.config.whole_tree)
        parts = {part: first_of(root, _tables(part)) for part in _PARTS}
        if not any(parts.values()):
            expected = "annotations/annotations_train.csv (PhysioNet) or train.csv (Kaggle)"
            raise wrong_root("vindr.root", root, expected)
        for part, table in parts.items():
            if table is not None and (root / part).is_dir():
                self._plan_part(part, table, scan)
        if not scan.items:
            raise wrong_root("vindr.root", root, "train/ or test/ with <image_id>.dicom inside")
        return scan.plan()

    def _plan_part(self, part: Split, table: Path, scan: Scan) -> None:
        films = FileIndex(self.config.root / part, _DICOM)
        labels = table.with_name(f"image_labels_{part}.csv")
        found: dict[str, _Readings] = {}
        _read_boxes(table, found, scan, vote=not labels.is_file())
        listed: Sequence[str] = _KAGGLE
        if labels.is_file():
            listed = _read_labels(labels, found, scan)
        for film, readings in found.items():
            try:
                if readings.wrong:
                    raise InputError(readings.wrong)
                findings = merge_readings(readings.votes, listed)
                path = films.find(film)
            except InputError as error:
                scan.drop(film, str(error))
                continue
            split = self.split.of_patient(film, self.seed, part)
            if path is None:
                scan.missing(film)
            else:
                item = VindrItem(film, split, f"{part}/{path}", findings, tuple(readings.boxes))
                scan.keep(item, readings.unmapped())
        for film in films.others(found.keys()):
            scan.drop(film, f"not in {table.name}", expected=True)

    def read(self, item: VindrItem) -> list[Radiograph | Unmapped]:
        """Read one film."""
        path = self.config.root / item.path
        pixels = prepare_image(path, self.size, self.fit)
        header = film_header(path, adults=True)
        width, height = image_size(path) if item.boxes else (0, 0)
        if item.boxes:
            header.check_upright()
        placed = [
            place_box(*box, width=width, height=height, size=self.size, fit=self.fit)
            for box in item.boxes
        ]
        return [
            Radiograph(
                id=item.id,
                patient_id=item.id,
                study_id=item.id,
                split=item.split,
                image=encode_png(pixels),
                view=header.view,
                findings=item.findings,
                boxes=tuple(box for box in placed if box is not None),
                age=header.age,
                sex=header.sex,
                source="VinDr-CXR",
                license=LICENSE.name,
            ),
            *header.unmapped,
        ]


def merge_readings(votes: Votes, listed: Sequence[str]) -> tuple[Finding, ...]:
    """One finding for each name that the readers of a film spoke of, in the order of the 14.

    `listed` are the words that every reader's list has. Raises InputError for a reader who saw no
    finding and one.
    """
    marked: dict[FindingName, dict[str, set[str | None]]] = {}  # details by reader
    for reader, words in votes.items():
        if "No finding" in words and len(words) > 1:
            raise InputError("a reader has No finding beside a finding")
        for meaning in filter(None, map(MEANINGS.get, words)):
            marked.setdefault(meaning.name, {}).setdefault(reader, set()).add(meaning.detail)
    absent = {_LISTED[word] for word in listed} - marked.keys()
    findings = []
    for name in FINDING_NAMES:
        if name in absent:
            findings.append(Finding(name=name, state="absent"))
        readers = marked.get(name, {})
        agreed = 2 * len(readers) > len(votes)
        if not readers or (name == "No Finding" and not agreed):
            continue  # one normal among abnormal readings says only that the others are uncertain
        details = set.union(*readers.values())
        detail = next(iter(details)) if len(details) == 1 else None
        state: State = "present" if agreed else "uncertain"
        findings.append(Finding(name=name, state=state, detail=detail))
    return tuple(findings)


def _tables(part: str) -> tuple[str, ...]:
    names = (f"annotations/annotations_{part}.csv", f"annotations_{part}.csv")
    return (*names, "train.csv") if part == "train" else names


def _rows(table: Path, columns: Sequence[str], scan: Scan) -> Iterator[dict[str, str]]:
    """Rows with a film's id and its reader."""
    agreed = "rad_id" not in column_names(table) and "test" in table.name
    wanted = ["image_id", *columns, *(() if agreed else ("rad_id",))]
    for number, row in enumerate(read_rows(table, wanted), start=1):
        if row is None:
            scan.drop(f"{table.name} row {number}", "the row has not as many fields as the header")
        elif not row["image_id"]:
            scan.drop(f"{table.name} row {number}", "image_id is blank")
        else:
            yield {"rad_id": _AGREED} | row


def _read_boxes(table: Path, found: dict[str, _Readings], scan: Scan, *, vote: bool) -> None:
    for row in _rows(table, ("class_name", *_EDGES), scan):
        readings = found.setdefault(row["image_id"], _Readings())
        word = row["class_name"]
        readings.add_box(word, row)
        if vote:
            readings.votes.setdefault(row["rad_id"], set()).add(word)


def _read_labels(table: Path, found: dict[str, _Readings], scan: Scan) -> Sequence[str]:
    """Read a table with a column a word; returns the words that are always looked for."""
    words = [name for name in column_names(table) if name not in ("image_id", "rad_id")]
    for row in _rows(table, words, scan):
        readings = found.setdefault(row["image_id"], _Readings())
        marked = readings.votes.setdefault(row["rad_id"], set())
        for word in words:
            if row[word] in ("1", "1.0"):
                marked.add(word)
            elif row[word] not in ("", "0", "0.0"):
                readings.wrong = f"{word} is {row[word]!r}: expected 1, 0 or blank"
    return [word for word in _LISTED if word in words]
