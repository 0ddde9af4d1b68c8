"""What `eval.evaluate` compares, and how."""

from dataclasses import dataclass, field
from pathlib import Path

from eval.config_sections import (
    AlignmentConfig,
    DiversityConfig,
    FidelityConfig,
    MasksConfig,
    PrivacyConfig,
    SegmentationConfig,
    TextEncoderConfig,
    UtilityConfig,
)
from roentgen.errors import InputError
from roentgen.record.findings import FindingName
from roentgen.setting_checks import require_range
from roentgen.vision.classifier import ClassifierConfig
from roentgen.vision.label_arrays import NotMentioned
from roentgen.vision.segmenter import SegmenterConfig

RESERVED = {"clip", "train", "test", "reference", "floor", "ceiling", "definition", "real"}


@dataclass(frozen=True, kw_only=True)
class ReferenceConfig:
    """The real set."""

    folder: Path
    """A radiograph dataset."""
    train_split: str = "train"
    """What classifiers are trained on, and what the floor of FID is drawn from."""
    test_split: str = "test"
    """Held out: what every set is compared with."""


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Compare synthetic sets with a real one. A part whose section is null is left out."""

    reference: ReferenceConfig
    synthetic: dict[str, Path]
    """Name -> radiograph dataset, in the order to show them ("before", "after")."""
    main: str | None = None
    """The set that utility and segmentation are measured on and the summary is about; null: the
    last one."""
    findings: tuple[FindingName, ...]
    """The findings whose AUROC is reported and averaged."""
    output: Path
    """Folder that gets report.html, results.json and tables/; it may hold other things."""
    overwrite: bool = False
    """Replace the results that the output folder holds."""
    caches: Path | None = None
    """Folder of cached features and trained networks, which evaluations may share; null:
    output/caches."""
    seed: int = 0
    """Of subsets, resamples and pictures."""
    bootstrap: int = 1000
    """Resamples for intervals, unless a part has its own."""
    min_cases: int = 5
    """Fewer positives or negatives than this: the finding is listed as not measured."""
    not_mentioned: NotMentioned = "ignore"
    """A finding that is not mentioned: "ignore" it, or call it "absent" as label tables do."""
    allow_other_fit: bool = False
    """Compare sets whose images were fitted otherwise than the reference's, as those of a base
    model that was trained on other films; the report says so."""
    max_images: int | None = None
    """Look at so many images of each set, drawn by seed; null: all."""
    pictures: int = 3
    """Images in each cell of the picture grid."""
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)
    """The network of alignment and utility."""
    segmenter: SegmenterConfig = field(default_factory=SegmenterConfig)
    """The network of masks and segmentation."""
    fidelity: FidelityConfig | None = field(default_factory=FidelityConfig)
    """How close to held-out real films: FID, KID."""
    diversity: DiversityConfig | None = field(default_factory=DiversityConfig)
    """How alike images are that were asked for alike: MS-SSIM."""
    alignment: AlignmentConfig | None = field(default_factory=AlignmentConfig)
    """Whether it is what was asked for, as a classifier trained on real films sees it."""
    utility: UtilityConfig | None = field(default_factory=UtilityConfig)
    """Whether training on it helps."""
    masks: MasksConfig | None = None
    """Whether what is drawn lies where its masks say."""
    segmentation: SegmentationConfig | None = None
    """Whether training a segmenter on it helps."""
    text_encoder: TextEncoderConfig | None = None
    """What report embeddings know of findings, before and after fine-tuning."""
    privacy: PrivacyConfig | None = None
    """Whether training images were copied."""

    def __post_init__(self) -> None:
        if not self.synthetic:
            raise InputError("synthetic is empty: name at least one synthetic dataset")
        if self.main is not None and self.main not in self.synthetic:
            known = ", ".join(self.synthetic)
            raise InputError(
                f"main is {self.main!r}, which synthetic does not name; it has: {known}"
            )
        taken = RESERVED & set(self.synthetic)
        if taken:
            raise InputError(f"synthetic.{min(taken)}: the report uses this name; choose another")
        if not self.findings:
            raise InputError("findings is empty: name at least one")
        require_range(self, "bootstrap", at_least=20)
        require_range(self, "min_cases", "pictures", at_least=1)

    @property
    def main_name(self) -> str:
        """The set that the summary is about."""
        return self.main or list(self.synthetic)[-1]

    @property
    def caches_folder(self) -> Path:
        """Where cached features and trained networks lie."""
        return self.caches or self.output / "caches"
