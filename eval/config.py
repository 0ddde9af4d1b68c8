"""Settings of an evaluation: the comparison, and a section for each evaluation domain."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from roentgen.dataset.label_arrays import NotMentioned
from roentgen.errors import InputError, require, require_distinct, require_range
from roentgen.prompts.context_words import ContextRule, check_rules
from roentgen.record.finding import FindingName
from roentgen.vision.network_settings import ClassifierConfig, ExtractorName, SegmenterConfig

RESERVED = {"clip", "train", "test", "reference", "floor", "ceiling", "methods"}


@dataclass(frozen=True, kw_only=True)
class SplitConfig:
    """A split of a dataset."""

    folder: Path
    """A radiograph dataset."""
    split: str
    """Its split: train, validate or test."""


@dataclass(frozen=True, kw_only=True)
class ReferenceSetConfig:
    """The real radiographs that synthetic sets are compared with: of one dataset or of two."""

    train: SplitConfig
    """Classifiers are trained on it, and the FID floor is measured with it."""
    test: SplitConfig
    """Held out: every set is compared with it. It may be of another dataset, such as that of
    another hospital, which has the same size and fit and shares no patient."""

    @classmethod
    def of(cls, folder: Path, train: str = "train", test: str = "test") -> "ReferenceSetConfig":
        """Two splits of one dataset."""
        return cls(
            train=SplitConfig(folder=folder, split=train),
            test=SplitConfig(folder=folder, split=test),
        )


@dataclass(frozen=True, kw_only=True)
class ExtractorConfig:
    """A feature extractor."""

    name: ExtractorName = "roentgen"
    """roentgen (shipped), inception, xrv, rad-dino, or any model of clip (open_clip), timm or
    transformers."""
    weights: str | None = None
    """A safetensors file (inception, xrv), a folder in the hub's layout, or hf-hub:OWNER/NAME;
    null: the shipped ones of roentgen. Of roentgen, embedded: the embedded classifier, blind to
    softness. If they are missing, the error says how to get them."""

    @property
    def label(self) -> str:
        """Its name on the page."""
        if self.name in ("clip", "timm", "transformers") and self.weights:
            return f"{self.name} {self.weights.rstrip('/').rpartition('/')[2]}"
        return self.name


@dataclass(frozen=True, kw_only=True)
class ComparisonConfig:
    """Compare synthetic sets with a real one."""

    reference: ReferenceSetConfig
    """The real radiographs that synthetic sets are compared with."""
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
    """Folder of cached features and trained networks, which runs may share; null:
    caches, beside the output."""
    seed: int = 0
    """Seed of subsets, resamples and pictures."""
    bootstrap: int = 1000
    """Bootstrap resamples for intervals, unless a domain has its own setting."""
    min_cases: int = 5
    """A finding with positives or negatives of fewer patients (of synthetic images: prompts) is
    listed as not measured."""
    not_mentioned: NotMentioned = "ignore"
    """A finding that is not mentioned: "ignore" it, or count it as "absent" as label tables do."""
    allow_other_fit: bool = False
    """Compare sets whose images were fitted in another way than the reference's, such as those of a
    base model trained on other radiographs; the report says so."""
    allow_reference_images: bool = False
    """Compare sets of which half or more are the reference's own radiographs, as a control."""
    max_images: int | None = None
    """Use at most this many images of each set, sampled by the seed; null: all."""
    pictures: int = 3
    """Images in each cell of the picture grid."""
    context_rules: tuple[ContextRule, ...] | None = None
    """The words of the clinical context, each with the value and the threshold that it is of; null:
    the shipped rules."""
    real_pictures: bool = True
    """Show radiographs of patients on the page; false: a page without any, nor their prompts or
    ids."""
    extractors: tuple[ExtractorConfig, ...] = (ExtractorConfig(),)
    """Fidelity is measured on the features of each; the summary, diversity and privacy use the
    first."""
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)
    """The network of alignment and, unless it has its own, of utility."""
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
        require_range(self, "min_cases", at_least=2)
        require_range(self, "pictures", at_least=1)
        require(
            self.context_rules != (),
            "context_rules is empty: give some, or null for the shipped ones",
        )
        check_rules(self.context_rules or ())
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
        return self.caches or self.output.resolve().parent / "caches"


@dataclass(frozen=True, kw_only=True)
class FidelityConfig:
    """Distances to held-out real radiographs."""

    bootstrap: int = 100
    """Bootstrap resamples for intervals; each costs one eigendecomposition per set."""
    subsets: int = 10
    """Random subsets of n images over which FID of a larger set is averaged."""
    neighbors: int = 5
    """k of precision, recall, density and coverage: a neighborhood reaches to the k-th neighbor."""
    min_subgroup_patients: int = 50
    """A finding, view, sex, age band or race of fewer patients (of synthetic images: prompts) in a
    set or a split is listed as not measured."""
    max_subgroup_images: int = 500
    """Larger subgroups are sampled down to this, so that all distances take minutes, not hours."""

    def __post_init__(self) -> None:
        require_range(
            self,
            "fidelity.max_subgroup_images",
            at_least=self.min_subgroup_patients,
            note="fidelity.min_subgroup_patients",
        )
        require_range(self, "fidelity.bootstrap", "fidelity.min_subgroup_patients", at_least=20)
        require_range(self, "fidelity.subsets", "fidelity.neighbors", at_least=1)


@dataclass(frozen=True, kw_only=True)
class DiversityConfig:
    """Similarity of images: with the same prompt, with a finding, and in the whole set."""

    images_per_prompt: int = 4
    """Maximum number of images per prompt for MS-SSIM (4: all 6 pairs, as in RoentGen)."""
    prompts: int = 2000
    """Maximum number of prompts, sampled by the seed (2000, as in RoentGen)."""
    pairs: int = 1000
    """Maximum number of random pairs of images with a finding, and of the whole set."""

    def __post_init__(self) -> None:
        names = ("images_per_prompt", "prompts", "pairs")
        require_range(self, *(f"diversity.{name}" for name in names), at_least=2)


@dataclass(frozen=True, kw_only=True)
class ClipConfig:
    """A model that embeds images and prompts in one space."""

    name: str
    """Its name in the report: "CLIP", "BiomedCLIP"."""
    model: str
    """Folder in open_clip's layout, or hf-hub:OWNER/NAME; if absent, the error says how to bring
    it."""


@dataclass(frozen=True, kw_only=True)
class AlignmentConfig:
    """Agreement of images with their prompts."""

    validation: float = 0.2
    """The share of the train split's patients that the reference classifier's thresholds are chosen
    on; they are not trained on."""
    clip: tuple[ClipConfig, ...] = ()
    """Models for the cosine of image and prompt, and for finding an image's prompt among others."""
    pool: int = 1000
    """Number of different prompts among which an image's own is searched for; fewer if a set
    has fewer."""

    def __post_init__(self) -> None:
        require_range(self, "alignment.pool", at_least=20)
        require_range(self, "alignment.validation", above=0, below=1)
        names = [model.name for model in self.clip]
        if len(set(names)) < len(names):
            raise InputError(f"alignment.clip names are {names}: give each model its own")


@dataclass(frozen=True, kw_only=True)
class UtilityConfig:
    """Gain of a classifier from training on synthetic images."""

    seeds: tuple[int, ...] = (0, 1, 2)
    """Each trains every network once; t-tests are over them, so give several."""
    regimes: tuple[Literal["synthetic", "mixed", "pretrained"], ...] = ("synthetic", "mixed")
    """Training regimes to compare with real images alone: synthetic images alone, both mixed, or
    pretrained on synthetic and fine-tuned on real images."""
    multiples: tuple[float | None, ...] = (None,)
    """Synthetic images for each real one, such as [1, 2, 5, 10]; null: all of the set. A multiple
    for which the set has too few images is listed as not measured."""
    radiographs: tuple[int | None, ...] = (None,)
    """Numbers of real radiographs to train on, such as [60, 250, null], sampled by patient; null:
    all, which is required, for scale. A number of which there are too few is listed as not
    measured."""
    classifier: ClassifierConfig | None = None
    """The network that is trained; null: that of the evaluation. What it starts from must not have
    seen the findings in more radiographs than it is then trained on."""
    pretraining: float = 0.5
    """Share of the steps of "pretrained" on synthetic images."""
    fine_tuning: float = 0.1
    """Its learning rate on real images, as a factor of the classifier's."""
    validation: float = 0.2
    """Share of the train split's patients on whom operating points are chosen, excluded from
    training."""

    def __post_init__(self) -> None:
        require_distinct(self, "utility.seeds", "utility.multiples", "utility.radiographs")
        require_range(self, "utility.multiples", "utility.fine_tuning", above=0)
        require_range(self, "utility.radiographs", at_least=1)
        require(
            None in self.radiographs,
            f"utility.radiographs is {list(self.radiographs)}: null (all) must be among them",
        )
        require_range(self, "utility.pretraining", "utility.validation", above=0, below=1)


@dataclass(frozen=True, kw_only=True)
class MasksConfig:
    """Agreement of images with the masks they were generated from."""

    structures: tuple[str, ...]
    """Structures with masks in the real set and in every synthetic set."""

    def __post_init__(self) -> None:
        require_distinct(self, "masks.structures")


@dataclass(frozen=True, kw_only=True)
class SegmentationConfig:
    """Gain of a segmenter from training on synthetic images."""

    structures: tuple[str, ...]
    """Structures with masks in the real set and in the main set."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Each trains every segmenter once; t-tests are over them, so give several."""
    radiographs: int | None = None
    """Number of real radiographs to train on, in all regimes, sampled by patient: gains are largest
    with few; null: all."""
    multiples: tuple[float, ...] = (1, 2)
    """Synthetic images for each real one, trained on together. A multiple for which the set has too
    few images is listed as not measured."""
    synthetic_alone: bool = True
    """Also train on all synthetic images alone."""

    def __post_init__(self) -> None:
        require_distinct(self, "segmentation.structures", "segmentation.seeds")
        require(
            self.multiples != () or self.synthetic_alone,
            "segmentation compares nothing: give multiples, or synthetic_alone: true",
        )
        if self.multiples:
            require_distinct(self, "segmentation.multiples")
        require_range(self, "segmentation.multiples", above=0)
        require_range(self, "segmentation.radiographs", at_least=1)


@dataclass(frozen=True, kw_only=True)
class TextEncoderConfig:
    """Findings that report embeddings encode, before and after fine-tuning."""

    before: str
    """Model folder (or hub name) with the text encoder before fine-tuning."""
    after: str
    """Model folder (or hub name) with the fine-tuned one."""
    reports: Path | None = None
    """Open-i's NLMCXR_reports.tgz or a folder of its XML files, with manually annotated
    findings; null: the reports of the reference's test split, with its findings."""
    text: Literal["impression", "findings"] = "impression"
    """The section to embed; reports without it are excluded and counted."""
    folds: int = 5
    """Number of folds; each is tested with probes fitted on the others."""

    def __post_init__(self) -> None:
        require_range(self, "text_encoder.folds", at_least=2)


@dataclass(frozen=True, kw_only=True)
class ContextConfig:
    """Clinical context: what it tells of findings, and whether images show it."""

    folds: int = 5
    """Number of folds of the leakage audit; each is scored by what the others teach."""

    def __post_init__(self) -> None:
        require_range(self, "context.folds", at_least=2)


@dataclass(frozen=True, kw_only=True)
class PrivacyConfig:
    """Near-duplicates of training images, and membership inference."""

    examples: int = 8
    """Number of most similar pairs on the page."""
    false_alarms: float = 0.01
    """Share of held-out patients that may exceed the threshold of a near-duplicate."""
    shift: int = 4
    """Largest shift of a near-duplicate, in pixels at a side of 128."""
    membership_images: int | None = 200
    """Radiographs of each split for membership inference; null: not measured."""
    timesteps: tuple[int, ...] = (100, 300, 500)
    """Timesteps of the model's loss, of 1,000."""
    noises: int = 1
    """Noise samples at each timestep: a second one does not narrow the interval."""

    def __post_init__(self) -> None:
        require_range(self, "privacy.examples", "privacy.noises", at_least=1)
        require_range(self, "privacy.shift", at_least=0)
        require_range(self, "privacy.false_alarms", above=0, below=0.5)
        require_range(self, "privacy.membership_images", at_least=20, note="or null")
        require(self.timesteps != (), "privacy.timesteps is empty: give some from 0 to 999")
        require_range(self, "privacy.timesteps", at_least=0, below=1000)


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(ComparisonConfig):
    """Compare synthetic sets with a real one. A domain whose section is null is not measured."""

    fidelity: FidelityConfig | None = field(default_factory=FidelityConfig)
    """Distances to held-out real radiographs: FID, KID, precision, recall, sharpness."""
    diversity: DiversityConfig | None = field(default_factory=DiversityConfig)
    """Similarity of images within a set: MS-SSIM, Vendi score."""
    alignment: AlignmentConfig | None = field(default_factory=AlignmentConfig)
    """Agreement of images with their prompts, read by a classifier trained on real radiographs."""
    utility: UtilityConfig | None = field(default_factory=UtilityConfig)
    """Gain of a classifier from training on synthetic images."""
    masks: MasksConfig | None = None
    """Agreement of images with their masks, read by a segmenter trained on real radiographs."""
    segmentation: SegmentationConfig | None = None
    """Gain of a segmenter from training on synthetic images."""
    text_encoder: TextEncoderConfig | None = None
    """Findings that report embeddings encode, before and after fine-tuning."""
    context: ContextConfig | None = None
    """Clinical context: findings from context alone, and context read from images."""
    privacy: PrivacyConfig | None = None
    """Near-duplicates of training images, and membership inference."""


@dataclass(frozen=True, kw_only=True)
class ReconstructionConfig:
    """Settings of a VAE's evaluation."""

    model: str
    """A pipeline folder, a repository id, or "tiny"."""
    reference: ReferenceSetConfig
    """Real radiographs: the classifier learns on the train split, the test split is
    reconstructed."""
    output: Path
    """Folder of reconstruction.json and reconstruction.png; it may hold other files."""
    overwrite: bool = False
    """Replace the results in the output folder."""
    findings: tuple[FindingName, ...] = ()
    """Findings whose AUROC is compared; empty: PSNR alone."""
    not_mentioned: NotMentioned = "ignore"
    """A finding that is not mentioned: "ignore" it, or count it as "absent"."""
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)
    """The classifier."""
    min_cases: int = 5
    """A finding with positives or negatives of fewer patients is not measured."""
    bootstrap: int = 1000
    """Bootstrap resamples for intervals."""
    seed: int = 0
    """Of the classifier and the resamples."""
