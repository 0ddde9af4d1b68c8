"""Settings of screening; a filter whose section is null is off."""

from dataclasses import dataclass, field
from pathlib import Path

from roentgen.dataset.label_arrays import NotMentioned
from roentgen.errors import require, require_distinct, require_range
from roentgen.record.finding import FindingName
from roentgen.vision.network_settings import ClassifierConfig, ExtractorName


@dataclass(frozen=True, kw_only=True)
class ReferenceConfig:
    """Real radiographs: those that train networks, and other patients' that limits are set on."""

    folder: Path
    """A radiograph dataset, prepared as the one that the model was trained on."""
    train_split: str = "train"
    """The split that the model was trained on: copies are searched in it and networks are
    trained on it."""
    held_out_split: str = "validate"
    """Other patients' radiographs, on which no network is trained: every limit is set on them."""


@dataclass(frozen=True, kw_only=True)
class ReferenceClassifierConfig:
    """Classifier that checks images against their prompts (`labels`, `view`, `demographics`)."""

    folder: Path | None = None
    """A saved classifier; null: it is trained on `reference` and saved in `caches`."""
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)
    """How networks are trained."""
    not_mentioned: NotMentioned = "ignore"
    """A finding that a real radiograph does not mention: "ignore" it, or take it as
    "absent", as label tables do."""
    min_cases: int = 10
    """Real radiographs that a requested finding, state or view needs in each split."""
    independent_share: float | None = 0.5
    """Share of the patients that train the independent classifier, which measures label agreement
    before and after; the reference classifier, which selects the images, is trained on the others.
    null: the reference classifier measures it itself, which overestimates it."""

    def __post_init__(self) -> None:
        require_range(self, "reference_classifier.min_cases", at_least=2)
        require_range(
            self,
            "reference_classifier.independent_share",
            above=0,
            below=1,
            note="or null for no independent classifier",
        )


@dataclass(frozen=True, kw_only=True)
class LabelsConfig:
    """Findings: those requested present must be found, those requested absent must not."""

    findings: tuple[FindingName, ...] | None = None
    """The findings that are checked; null: all that prompts state."""
    false_alarms: float = 0.05
    """Maximum share of correctly labeled real patients that would be rejected."""

    def __post_init__(self) -> None:
        require_distinct(self, "labels.findings", note="or null for all")


@dataclass(frozen=True, kw_only=True)
class LateralityConfig:
    """Laterality of findings in frontal views, by a network of image halves."""

    findings: tuple[FindingName, ...] | None = None
    """The findings that are checked; null: all that prompts request on one side."""
    false_alarms: float = 0.05
    """Maximum share of real patients that would be rejected."""

    def __post_init__(self) -> None:
        require_distinct(self, "laterality.findings", note="or null for all")


@dataclass(frozen=True, kw_only=True)
class ViewConfig:
    """View, by the reference classifier."""

    false_alarms: float = 0.01
    """Maximum share of real patients that would be rejected."""


@dataclass(frozen=True, kw_only=True)
class QualityConfig:
    """Blank, flat, saturated, blurred or noisy images, compared with real radiographs."""

    false_alarms: float = 0.01
    """Maximum share of real patients outside the limits, before these are widened."""
    margin: float = 2.0
    """Factor by which limits are moved away from the mean: a model's images may differ from real
    ones, in contrast for example, and still be usable."""

    def __post_init__(self) -> None:
        require_range(self, "quality.margin", at_least=1)


@dataclass(frozen=True, kw_only=True)
class OutliersConfig:
    """Images unlike any real radiograph, by the distance of features to the k-th nearest one."""

    extractor: ExtractorName = "roentgen"
    """The feature extractor."""
    weights: str | None = None
    """Its weights, as evaluation's extractors have them; null: of roentgen, the embedded
    classifier's, whose features are of findings; those of the embedded extractor would reject
    every image of a soft model."""
    neighbor: int = 5
    """k of the k-nearest-neighbor distance."""
    images: int = 20_000
    """Maximum number of real radiographs to compare with, sampled at random."""
    false_alarms: float = 0.01
    """Maximum share of real patients that would be rejected."""

    def __post_init__(self) -> None:
        most = "which is outliers.images"
        require_range(self, "outliers.neighbor", at_least=1, at_most=self.images, note=most)


@dataclass(frozen=True, kw_only=True)
class CopiesConfig:
    """Near-duplicates of training images, regardless of shift, contrast and noise."""

    shift: int = 4
    """Pixels, at a side of 128, by which a copy may be shifted."""
    false_alarms: float = 0.005
    """Maximum share of real patients that would be called copies. n held-out patients support
    a share of 1 / (n + 1) or more; for a smaller one, the limit lies beyond the most similar of
    them."""

    def __post_init__(self) -> None:
        require_range(self, "copies.shift", at_least=0, at_most=16)


@dataclass(frozen=True, kw_only=True)
class DuplicatesConfig:
    """Near-duplicates within the set, of which the first is accepted."""

    shift: int = 4
    """Pixels, at a side of 128, by which a duplicate may be shifted."""
    false_alarms: float = 0.001
    """Maximum share of real patients that would be called duplicates of another patient."""
    patients: int = 2_000
    """Maximum number of real patients, sampled at random, whose similarity sets the limit."""

    def __post_init__(self) -> None:
        require_range(self, "duplicates.shift", at_least=0, at_most=16)
        require_range(self, "duplicates.patients", at_least=20)


@dataclass(frozen=True, kw_only=True)
class DemographicsConfig:
    """Sex and age, by linear probes of the reference classifier's features."""

    false_alarms: float = 0.05
    """Maximum share of real patients that would be rejected."""


@dataclass(frozen=True, kw_only=True)
class ScreenConfig:
    """Screen a synthetic set: images that pass every filter are accepted, others redrawn."""

    dataset: Path
    """The synthetic set."""
    reference: ReferenceConfig
    """Real radiographs."""
    output: Path
    """The screened set, a dataset folder; beside it OUTPUT-dropped gets sheets of the
    rejected images and replaces that of an earlier run."""
    overwrite: bool = False
    """Replace the screened set if it exists."""
    caches: Path | None = None
    """Folder of trained networks, which runs may share; null: caches, beside the output."""
    reference_classifier: ReferenceClassifierConfig = field(
        default_factory=ReferenceClassifierConfig
    )
    """Classifier that checks images against their prompts."""
    labels: LabelsConfig | None = field(default_factory=LabelsConfig)
    """Requested findings."""
    laterality: LateralityConfig | None = None
    """Their requested side."""
    view: ViewConfig | None = field(default_factory=ViewConfig)
    """Requested view."""
    quality: QualityConfig | None = field(default_factory=QualityConfig)
    """Blank, flat, saturated, blurred or noisy images."""
    outliers: OutliersConfig | None = field(default_factory=OutliersConfig)
    """Images unlike any real radiograph."""
    copies: CopiesConfig | None = field(default_factory=CopiesConfig)
    """Near-duplicates of training images."""
    duplicates: DuplicatesConfig | None = field(default_factory=DuplicatesConfig)
    """Near-duplicates within the set."""
    demographics: DemographicsConfig | None = None
    """Requested sex and age."""
    attempts: int = 3
    """Rounds in which rejected images are redrawn with new seeds; 0: none."""
    best_of: int = 1
    """Images drawn for each row of the plan, of which the one that agrees best with the requested
    findings is accepted (the set's own image is one of the first round's)."""
    model: str | None = None
    """The model that made the set, if it is no longer where the set says."""
    seed: int = 0
    """Of redrawn images, of networks' training and of random samples."""
    pictures: int = 16
    """Rejected images on the sheet of each filter."""

    def __post_init__(self) -> None:
        require_range(self, "attempts", at_least=0)
        require_range(self, "best_of", "pictures", at_least=1)
        require(
            self.best_of == 1 or self.labels is not None,
            "best_of needs the score of labels: set labels, or best_of: 1",
        )
        for name in FILTERS:
            if section := getattr(self, name):
                require_range(section, f"{name}.false_alarms", above=0, below=1)
        require(
            any(getattr(self, name) for name in FILTERS),
            f"every filter is null: set at least one of {', '.join(FILTERS)}",
        )
        require(
            self.output.resolve() != self.dataset.resolve(),
            f"output is the set that is screened ({self.dataset}): name another",
        )

    @property
    def dropped(self) -> Path:
        """The folder with pictures of the rejected images."""
        output = self.output.resolve()
        return output.with_name(f"{output.name}-dropped")

    @property
    def caches_folder(self) -> Path:
        """The folder of trained networks."""
        return self.caches or self.output.resolve().parent / "caches"


FILTERS = (
    "labels",
    "laterality",
    "view",
    "quality",
    "outliers",
    "demographics",
    "copies",
    "duplicates",
)
