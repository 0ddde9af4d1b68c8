"""The settings of each part of an evaluation; a part whose section is null is left out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from roentgen.errors import InputError
from roentgen.setting_checks import require, require_distinct, require_range
from roentgen.vision.features.extractor import ExtractorName


@dataclass(frozen=True, kw_only=True)
class ExtractorConfig:
    """What turns images into features."""

    name: ExtractorName = "roentgen"
    """roentgen (shipped), inception, xrv, rad-dino, or any model of clip (open_clip), timm or
    transformers."""
    weights: str | None = None
    """A safetensors file (inception, xrv), a folder as the hub has it, or hf-hub:OWNER/NAME; null:
    the shipped ones of roentgen. What is absent is an error that says how to bring it."""

    @property
    def label(self) -> str:
        """What the report calls it."""
        if self.name in ("clip", "timm", "transformers") and self.weights:
            return f"{self.name} {self.weights.rstrip('/').rpartition('/')[2]}"
        return self.name


@dataclass(frozen=True, kw_only=True)
class FidelityConfig:
    """How close to held-out real films."""

    extractors: tuple[ExtractorConfig, ...] = (ExtractorConfig(),)
    """What distances are taken on; the first is the summary's."""
    bootstrap: int = 100
    """Resamples for the intervals; each is one eigenproblem a set."""
    subsets: int = 10
    """Where a set has more images than the others, the mean over so many subsets of n."""
    neighbours: int = 5
    """Precision, recall, density and coverage: the k-th nearest neighbour bounds a
    neighbourhood."""
    group_images: int = 50
    """A finding, view, sex, age band or race needs so many images in each set and so many films in
    each split, or it is listed as not measured."""
    group_most: int = 500
    """Of larger groups so many are drawn: distances of all groups take minutes, not hours."""

    def __post_init__(self) -> None:
        require_range(
            self, "fidelity.group_most", at_least=self.group_images, note="fidelity.group_images"
        )
        require_range(self, "fidelity.bootstrap", "fidelity.group_images", at_least=20)
        require_range(self, "fidelity.subsets", "fidelity.neighbours", at_least=1)
        require(
            self.extractors != (),
            "fidelity.extractors is empty: name at least one, or fidelity: null",
        )
        labels = [extractor.label for extractor in self.extractors]
        for label in labels:
            if labels.count(label) > 1:
                raise InputError(f"fidelity.extractors has {label!r} twice: give each its own name")


@dataclass(frozen=True, kw_only=True)
class DiversityConfig:
    """How alike images are: those asked for alike, those with a finding, and all."""

    images_per_prompt: int = 4
    """MS-SSIM takes at most so many images of a prompt (4: all 6 pairs, as RoentGen did)."""
    prompts: int = 2000
    """At most so many prompts, drawn by the seed (2000, as RoentGen did)."""
    pairs: int = 1000
    """At most so many random pairs of images with a finding, and of the whole set."""

    def __post_init__(self) -> None:
        names = ("images_per_prompt", "prompts", "pairs")
        require_range(self, *(f"diversity.{name}" for name in names), at_least=2)


@dataclass(frozen=True, kw_only=True)
class ClipConfig:
    """A model that puts images and prompts into one space."""

    name: str
    """What the report calls it: "CLIP", "BiomedCLIP"."""
    model: str
    """Folder in open_clip's layout, or hf-hub:OWNER/NAME; if absent, the error says how to bring
    it."""


@dataclass(frozen=True, kw_only=True)
class AlignmentConfig:
    """Whether it is what was asked for."""

    validation: float = 0.2
    """The share of the patients of the train split that the judge's thresholds are chosen on, not
    trained on."""
    clip: tuple[ClipConfig, ...] = ()
    """Models for the cosine of image and prompt, and for finding an image's prompt among others."""
    pool: int = 1000
    """An image's prompt is looked for among so many different ones, or fewer where a set has
    fewer."""

    def __post_init__(self) -> None:
        require_range(self, "alignment.pool", at_least=20)
        require_range(self, "alignment.validation", above=0, below=1)
        names = [model.name for model in self.clip]
        if len(set(names)) < len(names):
            raise InputError(f"alignment.clip names are {names}: give each model its own")


@dataclass(frozen=True, kw_only=True)
class UtilityConfig:
    """Whether training on it helps."""

    seeds: tuple[int, ...] = (0, 1, 2)
    """Each trains every network once; t-tests are over them, so give several."""
    regimes: tuple[Literal["synthetic", "mixed", "pretrained"], ...] = ("synthetic", "mixed")
    """What is compared with real films alone: synthetic images alone, both mixed, or synthetic
    images first and real films then."""
    multiples: tuple[float | None, ...] = (None,)
    """Synthetic images for each real film, as [1, 2, 5, 10]; null: all there are. A multiple that
    the set has too few images for is listed as not measured."""
    fractions: tuple[float, ...] = (1.0,)
    """Shares of the real patients, as [0.01, 0.1, 1]; 1 is needed, for scale."""
    pretraining: float = 0.5
    """The share of the steps that "pretrained" spends on synthetic images."""
    fine_tuning: float = 0.1
    """Its learning rate on real films then, as a share of classifier.learning_rate."""
    validation: float = 0.2
    """The share of the patients of the train split that thresholds are chosen on, not trained
    on."""

    def __post_init__(self) -> None:
        require_distinct(self, "utility.seeds", "utility.multiples", "utility.fractions")
        require_range(self, "utility.multiples", "utility.fine_tuning", above=0)
        require_range(self, "utility.fractions", above=0, at_most=1)
        require(
            1 in self.fractions,
            f"utility.fractions is {list(self.fractions)}: 1 must be among them",
        )
        require_range(self, "utility.pretraining", "utility.validation", above=0, below=1)


@dataclass(frozen=True, kw_only=True)
class MasksConfig:
    """Whether what is drawn lies where its masks say."""

    structures: tuple[str, ...]
    """Structures of which the real films and every synthetic set have masks."""

    def __post_init__(self) -> None:
        require_distinct(self, "masks.structures")


@dataclass(frozen=True, kw_only=True)
class SegmentationConfig:
    """Whether training a segmenter on it helps."""

    structures: tuple[str, ...]
    """Structures of which the real films and the main set have masks."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Each trains every segmenter once; t-tests are over them, so give several."""
    fraction: float = 1.0
    """Share of the real patients that are trained on, in all regimes: few show the most gain."""
    multiples: tuple[float, ...] = (1, 2)
    """Synthetic images for each real film, beside real films. A multiple that the set has too few
    images for is listed as not measured."""
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
        require_range(self, "segmentation.fraction", above=0, at_most=1)


@dataclass(frozen=True, kw_only=True)
class TextEncoderConfig:
    """What report embeddings know of findings, before and after fine-tuning."""

    before: str
    """Model folder (or hub name) with the text encoder as it was."""
    after: str
    """Model folder (or hub name) with the fine-tuned one."""
    reports: Path | None = None
    """Open-i's NLMCXR_reports.tgz or a folder of its XML files, with findings as people annotated
    them; null: the reports of the reference's test split, with its findings."""
    text: Literal["impression", "findings"] = "impression"
    """The section that is embedded; reports without it are left out and counted."""
    folds: int = 5
    """Each fold's reports are judged by probes fitted on the others."""

    def __post_init__(self) -> None:
        require_range(self, "text_encoder.folds", at_least=2)


@dataclass(frozen=True, kw_only=True)
class PrivacyConfig:
    """Whether training images were copied."""

    examples: int = 8
    """The worst pairs that are shown side by side."""
    false_alarms: float = 0.01
    """The share of held-out patients that the threshold of a copy may call copied."""
    shift: int = 4
    """Pixels, at a side of 128, by which a copy may be shifted."""
    membership_images: int | None = 200
    """Films of each side that membership is inferred on; null: leave it out."""
    timesteps: tuple[int, ...] = (100, 300, 500)
    """Where the model's loss is taken, of its 1,000 steps of noise."""
    noises: int = 2
    """Noises at each timestep."""

    def __post_init__(self) -> None:
        require_range(self, "privacy.examples", "privacy.noises", at_least=1)
        require_range(self, "privacy.shift", at_least=0)
        require_range(self, "privacy.false_alarms", above=0, below=0.5)
        require_range(self, "privacy.membership_images", at_least=20, note="or null")
        require(self.timesteps != (), "privacy.timesteps is empty: give some from 0 to 999")
        require_range(self, "privacy.timesteps", at_least=0, below=1000)
