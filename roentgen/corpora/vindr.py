"""VinDr-CXR: images read by three radiologists, with boxes; PhysioNet's and Kaggle's files.

A finding is present where more than half of an image's readers marked it, uncertain where fewer
did. Findings that the readers' list holds under the same name are absent where no reader marked
them. The boxes of all readers stay as drawn. The official test images have one consensus reading.
No file tells the patient of an image: each image counts as a patient.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from roentgen.corpora.image_corpus import ImageCorpusConfig, ImageCorpusReader, ImageItem
from roentgen.corpora.reader import CorpusPlan, Unmapped
from roentgen.corpora.scanning.dicom_header import read_radiograph_header
from roentgen.corpora.scanning.rows import column_names
from roentgen.corpora.scanning.scan import FileIndex, Scan, first_of
from roentgen.corpora.scanning.value_mapping import unmapped_finding
from roentgen.errors import InputError
from roentgen.imaging.boxes import SourceBox, place_boxes
from roentgen.imaging.images import image_size
from roentgen.manifest import License
from roentgen.record.finding import FINDING_NAMES, Finding, FindingName, State
from roentgen.record.radiograph import Box, Radiograph, Split

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
# On the readers' list under the same name: not marked means absent. For others (a "lung opacity"
# that is no consolidation, no nodule, ...) that would be a guess.
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
_CONSENSUS = "agreed"  # the reader's name of the one consensus reading
_EDGES = ("x_min", "y_min", "x_max", "y_max")
_TABLES: dict[Split, tuple[str, ...]] = {
    "train": ("annotations/annotations_train.csv", "annotations_train.csv", "train.csv"),
    "test": ("annotations/annotations_test.csv", "annotations_test.csv"),
}
_DICOM = (".dicom", ".dcm")  # boxes fit images of the original size only

Votes = dict[str, set[str]]  # words by reader


@dataclass(frozen=True, kw_only=True)
class VindrConfig(ImageCorpusConfig):
    """VinDr-CXR: the folder from PhysioNet, or the one of Kaggle's VinBigData challenge."""

    root: Path
    """PhysioNet: the folder with annotations/, train/ and test/. Kaggle: train.csv and train/."""


@dataclass
class _Readings:
    """The readings of one image."""

    votes: Votes = field(default_factory=dict)
    boxes: list[SourceBox] = field(default_factory=list)
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
            self.wrong = f"a box of {word} is not four numbers"
        else:
            self.boxes.append(SourceBox(word.lower(), left, top, right, bottom))


@dataclass(frozen=True)
class VindrReader(ImageCorpusReader[VindrConfig]):
    """Reads VinDr-CXR."""

    section = "vindr"
    source = "VinDr-CXR"
    license = LICENSE
    published_splits = ("official",)

    def plan(self) -> CorpusPlan:
        """The images that the tables name."""
        root = self.config.root
        scan = Scan(complete=self.config.complete)
        tables = {split: first_of(root, names) for split, names in _TABLES.items()}
        if not any(tables.values()):
            raise self.wrong_root(
                "annotations/annotations_train.csv (PhysioNet) or train.csv (Kaggle)"
            )
        for split, table in tables.items():
            if table is not None and (root / split).is_dir():
                self._plan_split(split, table, scan)
        if not scan.items:
            raise self.wrong_root("train/ or test/ with <image_id>.dicom inside")
        return scan.plan()

    def _plan_split(self, split: Split, table: Path, scan: Scan) -> None:
        files = FileIndex(self.config.root, self.config.root / split, _DICOM)
        labels = table.with_name(f"image_labels_{split}.csv")
        found: dict[str, _Readings] = {}
        _read_boxes(table, found, scan, vote=not labels.is_file())
        listed: Sequence[str] = _KAGGLE
        if labels.is_file():
            listed = _read_labels(labels, found, scan)
        for name, readings in found.items():
            with scan.excluding(name):
                if readings.wrong:
                    raise InputError(readings.wrong)
                item = ImageItem(
                    id=name,
                    patient=name,
                    study=name,
                    split=self.split_of(name, split),
                    findings=merge_readings(readings.votes, listed),
                    path=files.find(name),
                    boxes=tuple(readings.boxes),
                )
                scan.accept(item, readings.unmapped())
        for name in files.others(found.keys()):
            scan.exclude(name, f"not in {table.name}", expected=True)

    def read(self, item: ImageItem) -> list[Radiograph | Unmapped]:
        """Read one image."""
        path = self.path(item)
        image, header = self.image(item), read_radiograph_header(path, adults=True)
        boxes: tuple[Box, ...] = ()
        if item.boxes:
            header.check_upright()
            boxes = place_boxes(item.boxes, image_size(path), self.size, self.fit)
        return [self.radiograph(item, image, boxes=boxes, **header.known), *header.unmapped]


def merge_readings(votes: Votes, listed: Sequence[str]) -> tuple[Finding, ...]:
    """One finding for each name that the readers of an image marked, in the order of the 14.

    `listed` are the words on every reader's list. Raises InputError for a reader who marked both
    "No finding" and a finding.
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
            continue  # one normal among abnormal readings only makes the others uncertain
        details = set.union(*readers.values())
        detail = next(iter(details)) if len(details) == 1 else None
        state: State = "present" if agreed else "uncertain"
        findings.append(Finding(name=name, state=state, detail=detail))
    return tuple(findings)


def _rows(table: Path, columns: Sequence[str], scan: Scan) -> Iterator[dict[str, str]]:
    """Rows with an image's id and its reader."""
    consensus = "rad_id" not in column_names(table) and "test" in table.name
    names = ["image_id", *columns, *(() if consensus else ("rad_id",))]
    for place, row in scan.rows(table, names):
        if row["image_id"]:
            yield {"rad_id": _CONSENSUS} | row
        else:
            scan.exclude(place, "image_id is blank")


def _read_boxes(table: Path, found: dict[str, _Readings], scan: Scan, *, vote: bool) -> None:
    for row in _rows(table, ("class_name", *_EDGES), scan):
        readings = found.setdefault(row["image_id"], _Readings())
        word = row["class_name"]
        readings.add_box(word, row)
        if vote:
            readings.votes.setdefault(row["rad_id"], set()).add(word)


def _read_labels(table: Path, found: dict[str, _Readings], scan: Scan) -> Sequence[str]:
    """Read a table with a column for each word; returns the words on every reader's list."""
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
