"""Settings that all evaluation domains share: which sets are compared, on which findings, how."""

from dataclasses import dataclass, field
from pathlib import Path

import torch

from roentgen.dataset.label_arrays import NotMentioned
from roentgen.errors import InputError
from roentgen.record.findings import FindingName
from roentgen.setting_checks import require_range
from roentgen.vision.classifier import ClassifierConfig
from roentgen.vision.features.extractor import ExtractorName, load_extractor
from roentgen.vision.features.network import Extractor
from roentgen.vision.segmenter import SegmenterConfig

RESERVED = {"clip", "train", "test", "reference", "floor", "ceiling", "methods"}


@dataclass(frozen=True, kw_only=True)
class ReferenceSetConfig:
    """The real dataset that synthetic sets are compared with."""

    folder: Path
    """A radiograph dataset."""
    train_split: str = "train"
    """Classifiers are trained on it, and the FID floor is measured with it."""
    test_split: str = "test"
    """Held out: every set is compared with it."""


@dataclass(frozen=True, kw_only=True)
class ExtractorConfig:
    """A feature extractor."""

    name: ExtractorName = "roentgen"
    """roentgen (shipped), inception, xrv, rad-dino, or any model of clip (open_clip), timm or
    transformers."""
    weights: str | None = None
    """A safetensors file (inception, xrv), a folder in the hub's layout, or hf-hub:OWNER/NAME;
    null: the shipped ones of roentgen. If they are missing, the error says how to get them."""

    @property
    def label(self) -> str:
        """Its name on the page."""
        if self.name in ("clip", "timm", "transformers") and self.weights:
            return f"{self.name} {self.weights.rstrip('/').rpartition('/')[2]}"
        return self.name

    def load(self, device: torch.device | str = "cpu") -> Extractor:
        """The extractor. Raises InputError that says how to get weights that are missing."""
        return load_extractor(self.name, self.weights, device)


@dataclass(frozen=True, kw_only=True)
class ComparisonConfig:
    """Compare synthetic sets with a real one."""

    reference: ReferenceSetConfig
    """The real dataset that synthetic sets are compared with."""
    synthetic: dict[str, Path]
    """Name -> radiograph dataset, in the order of the page ("before", "after")."""
    main: str | None = None
    """The set that utility and segmentation are measured on and the summary is about; null: the
    last one."""
    findings: tuple[FindingName, ...]
    """The findings whose AUROC is reported and averaged."""
    output: Path
    """Folder of report.html, results.json and tables/; it may hold other files."""
    overwrite: bool = False
    """Replace the results in the output folder."""
    caches: Path | None = None
    """Folder of cached features and trained networks, which evaluations may share; null:
    output/caches."""
    seed: int = 0
    """Seed of subsets, resamples and pictures."""
    bootstrap: int = 1000
    """Bootstrap resamples for intervals, unless a domain has its own setting."""
    min_cases: int = 5
    """A finding with fewer positives or negatives is listed as not measured."""
    not_mentioned: NotMentioned = "ignore"
    """A finding that is not mentioned: "ignore" it, or count it as "absent" as label tables do."""
    allow_other_fit: bool = False
    """Compare sets whose images were fitted in another way than the reference's, such as those of a
    base model trained on other radiographs; the report says so."""
    max_images: int | None = None
    """Use at most this many images of each set, sampled by the seed; null: all."""
    pictures: int = 3
    """Images in each cell of the picture grid."""
    extractors: tuple[ExtractorConfig, ...] = (ExtractorConfig(),)
    """Fidelity is measured on the features of each; the summary, diversity and privacy use the
    first."""
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)
    """The network of alignment and utility."""
    segmenter: SegmenterConfig = field(default_factory=SegmenterConfig)
    """The network of masks and segmentation."""

    def __post_init__(self) -> None:
        if not self.synthetic:
            raise InputError("synthetic is empty: name at least one synthetic dataset")
        if self.main is not None and self.main not in self.synthetic:
            known = ", ".join(self.synthetic)
            raise InputError(
                f"main is {self.main!r}, which is not in synthetic: choose from {known}"
            )
        taken = RESERVED & set(self.synthetic)
        if taken:
            raise InputError(f"synthetic.{min(taken)}: the report uses this name; choose another")
        if not self.findings:
            raise InputError("findings is empty: name at least one")
        require_range(self, "bootstrap", at_least=20)
        require_range(self, "min_cases", "pictures", at_least=1)
        if not self.extractors:
            raise InputError("extractors is empty: name at least one")
        labels = [extractor.label for extractor in self.extractors]
        for label in labels:
            if labels.count(label) > 1:
                raise InputError(f"extractors has {label!r} twice: each needs its own name")

    @property
    def main_name(self) -> str:
        """The set that the summary is about."""
        return self.main or list(self.synthetic)[-1]

    @property
    def caches_folder(self) -> Path:
        """The folder of cached features and trained networks."""
        return self.caches or self.output / "caches"
