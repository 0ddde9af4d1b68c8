"""DRR-RATE: radiographs computed from the CTs of CT-RATE, frontal and lateral, with 18 labels.

The labels were read from CT reports by a model: 0 means that the report does not mention it.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from roentgen.corpora.image_corpus import ImageCorpusConfig, ImageCorpusReader, ImageItem
from roentgen.corpora.reader import CorpusPlan
from roentgen.corpora.scanning.scan import FileIndex, Scan, wrong_root
from roentgen.corpora.scanning.value_mapping import unmapped_finding
from roentgen.errors import InputError
from roentgen.manifest import License
from roentgen.record.finding import Finding
from roentgen.record.radiograph import Split, View

LICENSE = License(
    name="CC-BY-NC-SA-4.0",
    data_use="Non-commercial use only; what is made from it is passed on under the same license; "
    "cite DRR-RATE (Hou et al. 2024) and CT-RATE (Hamamci et al. 2024).",
    may_share=True,
)
MEANINGS: dict[str, Finding | None] = {
    "Medical material": Finding(name="Support Devices"),
    "Arterial wall calcification": None,
    "Cardiomegaly": Finding(name="Cardiomegaly"),
    "Pericardial effusion": None,
    "Coronary artery wall calcification": None,
    "Hiatal hernia": None,
    "Lymphadenopathy": None,
    "Emphysema": None,
    "Atelectasis": Finding(name="Atelectasis"),
    "Lung nodule": Finding(name="Lung Lesion", detail="nodule"),
    "Lung opacity": Finding(name="Lung Opacity"),
    "Pulmonary fibrotic sequela": None,
    "Pleural effusion": Finding(name="Pleural Effusion"),
    "Mosaic attenuation pattern": None,
    "Peribronchial thickening": None,
    "Consolidation": Finding(name="Consolidation"),
    "Bronchiectasis": None,
    "Interlobular septal thickening": None,
}
_PARTS: dict[str, Split] = {"train": "train", "valid": "validate"}
_VIEWS: tuple[View, ...] = ("AP", "LATERAL")
_NAME = re.compile(r"((?:train|valid)_\d+)_[a-z]+_\d+")


@dataclass(frozen=True, kw_only=True)
class DrrRateConfig(ImageCorpusConfig):
    """DRR-RATE, complete or in part."""

    root: Path
    """The folder with train/ and valid/."""
    labels: str = "multi_abnormality_labels/{part}_predicted_labels.csv"
    """The labels, below `root`; {part} is train or valid."""
    views: tuple[View, ...] = _VIEWS
    """The views to take: AP, LATERAL."""


@dataclass(frozen=True)
class DrrRateReader(ImageCorpusReader[DrrRateConfig]):
    """Reads DRR-RATE."""

    section = "drr_rate"
    source = "DRR-RATE"
    license = LICENSE
    published_splits = ("official",)

    def plan(self) -> CorpusPlan:
        """The images that the label tables name, in each view whose folder is there."""
        root = self.config.root
        parts = [part for part in _PARTS if (root / part).is_dir()]
        if not parts:
            raise self.wrong_root("train/ or valid/ with AP/ or LATERAL/ inside")
        scan = Scan(complete=self.config.complete)
        for part in parts:
            folders = {view: root / part / view for view in self.config.views}
            files = {v: FileIndex(root, f, (".png",)) for v, f in folders.items() if f.is_dir()}
            if not any(len(index) for index in files.values()):
                expected = f"{' or '.join(self.config.views)} with images inside"
                raise wrong_root("drr_rate.root", root / part, expected)
            self._plan_part(part, files, scan)
        if scan.finds_no_file:
            raise self.wrong_root("the images of the label tables")
        return scan.plan()

    def _plan_part(self, part: str, files: dict[View, FileIndex], scan: Scan) -> None:
        table = self.config.root / self.config.labels.format(part=part)
        named = set()
        for _, row in scan.rows(table, ["ImageName", *MEANINGS]):
            image = row["ImageName"].removesuffix(".png").removesuffix(".nii.gz")
            named.add(image)
            for view, index in files.items():
                with scan.excluding(f"{image}-{view.lower()}"):
                    name = _NAME.fullmatch(image)
                    if name is None:
                        raise InputError("ImageName is not as train_1_a_1")
                    labels = "".join(_digit(row, word) for word in MEANINGS)
                    words = (word for word, meaning in MEANINGS.items() if meaning is None)
                    lost = (unmapped_finding(w, MEANINGS) for w in words if row[w] in ("1", "1.0"))
                    item = ImageItem(
                        id=f"{image}-{view.lower()}",
                        patient=name[1],
                        study=image.rpartition("_")[0],
                        split=self.split_of(name[1], _PARTS[part]),
                        path=index.find(image),
                        view=view,
                        findings=_findings(labels),
                    )
                    scan.accept(item, lost)
        for view, index in files.items():
            for image in index.others(named):
                scan.exclude(f"{image}-{view.lower()}", f"not in {table.name}", expected=True)


def _digit(row: dict[str, str], word: str) -> str:
    if row[word] not in ("0", "0.0", "1", "1.0"):
        raise InputError(f"{word} is {row[word]!r}: expected 0 or 1")
    return row[word][0]


@lru_cache(maxsize=1 << 15)
def _findings(labels: str) -> tuple[Finding, ...]:
    """Findings of labels with a digit for each of MEANINGS; few differ."""
    return tuple(
        meaning if label == "1" else Finding(name=meaning.name, state="absent")
        for meaning, label in zip(MEANINGS.values(), labels, strict=True)
        if meaning is not None
    )
