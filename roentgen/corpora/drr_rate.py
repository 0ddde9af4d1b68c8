"""DRR-RATE: radiographs computed from the CTs of CT-RATE, frontal and lateral, with 18 labels.

The labels were read from CT reports by a model: 0 means that the report does not have it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from roentgen.corpora.reader import Plan
from roentgen.corpora.scanning.file_index import FileIndex, wrong_root
from roentgen.corpora.scanning.rows import read_rows
from roentgen.corpora.scanning.scan import Scan
from roentgen.corpora.scanning.value_mapping import unmapped_finding
from roentgen.errors import InputError
from roentgen.imaging.images import Fit, encode_png, prepare_image
from roentgen.manifest import License
from roentgen.record.findings import Finding
from roentgen.record.radiograph import Radiograph, Split
from roentgen.record.splits import SplitRules
from roentgen.record.views import View

LICENSE = License(
    name="CC-BY-NC-SA-4.0",
    data_use="Non-commercial use only; what is made from it is passed on under the same licence; "
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
class DrrRateConfig:
    """DRR-RATE, whole or in part."""

    root: Path
    """The folder with train/ and valid/."""
    labels: str = "multi_abnormality_labels/{part}_predicted_labels.csv"
    """The labels, below `root`; {part} is train or valid."""
    views: tuple[View, ...] = _VIEWS
    """The views to take: AP, LATERAL."""
    whole_tree: bool = False
    """Whether all images should be here: a missing one is then a bad item."""


class DrrRateItem(NamedTuple):
    """One image."""

    id: str
    patient: str
    study: str
    split: Split
    view: View
    path: str
    labels: str  # a digit for each of MEANINGS


@dataclass(frozen=True)
class DrrRateReader:
    """Reads DRR-RATE; see `roentgen.corpora.reader.CorpusReader`."""

    config: DrrRateConfig
    split: SplitRules
    size: int
    fit: Fit
    seed: int

    def __post_init__(self) -> None:
        self.split.check_published(("official",))

    @property
    def licenses(self) -> Sequence[License]:
        """CC BY-NC-SA."""
        return (LICENSE,)

    def plan(self) -> Plan:
        """The images that the label tables name, in each view whose folder is there."""
        root = self.config.root
        parts = [part for part in _PARTS if (root / part).is_dir()]
        if not parts:
            raise wrong_root("drr_rate.root", root, "train/ or valid/ with AP/ or LATERAL/ inside")
        scan = Scan(whole=self.config.whole_tree)
        for part in parts:
            folders = {view: root / part / view for view in self.config.views}
            images = {v: FileIndex(f, (".png",)) for v, f in folders.items() if f.is_dir()}
            if not any(len(index) for index in images.values()):
                expected = f"{' or '.join(self.config.views)} with images inside"
                raise wrong_root("drr_rate.root", root / part, expected)
            self._plan_part(part, images, scan)
        if scan.files_missing and not scan.items:
            raise wrong_root("drr_rate.root", root, "the images of the label tables")
        return scan.plan()

    def _plan_part(self, part: str, images: dict[View, FileIndex], scan: Scan) -> None:
        table = self.config.root / self.config.labels.format(part=part)
        named = set()
        for number, row in enumerate(read_rows(table, ["ImageName", *MEANINGS]), start=1):
            if row is None:
                scan.drop(
                    f"{table.name} row {number}", "the row has not as many fields as the header"
                )
                continue
            image = row["ImageName"].removesuffix(".png").removesuffix(".nii.gz")
            named.add(image)
            for view, index in images.items():
                name = f"{image}-{view.lower()}"
                try:
                    item = self._item(part, image, view, row)
                    path = index.find(image)
                except InputError as error:
                    scan.drop(name, str(error))
                    continue
                if path is None:
                    scan.missing(name)
                    continue
                words = (word for word, meaning in MEANINGS.items() if meaning is None)
                lost = (unmapped_finding(w, MEANINGS) for w in words if row[w] in ("1", "1.0"))
                scan.keep(item._replace(path=f"{part}/{view}/{path}"), lost)
        for view, index in images.items():
            for image in index.others(named):
                scan.drop(f"{image}-{view.lower()}", f"not in {table.name}", expected=True)

    def _item(self, part: str, image: str, view: View, row: dict[str, str]) -> DrrRateItem:
        name = _NAME.fullmatch(image)
        if name is None:
            raise InputError("ImageName is not as train_1_a_1")
        states = {"0": "0", "0.0": "0", "1": "1", "1.0": "1"}
        wrong = next((word for word in MEANINGS if row[word] not in states), None)
        if wrong:
            raise InputError(f"{wrong} is {row[wrong]!r}: expected 0 or 1")
        return DrrRateItem(
            id=f"{image}-{view.lower()}",
            patient=name[1],
            study=image.rpartition("_")[0],
            split=self.split.of_patient(name[1], self.seed, _PARTS[part]),
            view=view,
            path="",
            labels="".join(states[row[word]] for word in MEANINGS),
        )

    def read(self, item: DrrRateItem) -> list[Radiograph]:
        """Read one image."""
        findings = [
            meaning if label == "1" else Finding(name=meaning.name, state="absent")
            for meaning, label in zip(MEANINGS.values(), item.labels, strict=True)
            if meaning is not None
        ]
        return [
            Radiograph(
                id=item.id,
                patient_id=item.patient,
                study_id=item.study,
                split=item.split,
                image=encode_png(prepare_image(self.config.root / item.path, self.size, self.fit)),
                view=item.view,
                findings=tuple(findings),
                source="DRR-RATE",
                license=LICENSE.name,
            )
        ]
