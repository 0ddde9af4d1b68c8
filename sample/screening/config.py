"""What screening can be told; a gate whose section is null is off."""

from dataclasses import dataclass, field
from pathlib import Path

from roentgen.dataset.label_arrays import NotMentioned
from roentgen.record.findings import FindingName
from roentgen.setting_checks import require, require_distinct, require_range
from roentgen.vision.classifier import ClassifierConfig
from roentgen.vision.features.extractor import ExtractorName


@dataclass(frozen=True, kw_only=True)
class ReferenceConfig:
    """Real films: what networks learn from, and other patients' that limits are set on."""

    folder: Path
    """A radiograph dataset, prepared as the one that the model was trained on."""
    train_split: str = "train"
    """The split that the model was trained on: copies are looked up in it, networks learn from
    it."""
    held_out_split: str = "validate"
    """Other patients' films, which no network has seen: every limit is set on them."""


@dataclass(frozen=True, kw_only=True)
class ProxyConfig:
    """The network that says what an image shows, for `labels`, `view` and `demographics`."""

    folder: Path | None = None
    """A saved classifier; null: it is trained on `reference` and kept in `caches`."""
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)
    """How networks are trained."""
    not_mentioned: NotMentioned = "ignore"
    """A finding that a real film does not mention: "ignore" it, or call it "absent" as label
    tables do."""
    min_cases: int = 10
    """A finding, state or view that is asked for needs so many real films in each split."""
    audit_share: float | None = 0.5
    """Label agreement before and after is told by another network, which learns from this share of
    the patients and the proxy from the others: who chose the images must not judge them. null: the
    proxy tells it, and flatters."""

    def __post_init__(self) -> None:
        require_range(self, "proxy.min_cases", at_least=2)
        require_range(self, "proxy.audit_share", above=0, below=1, note="or null for no audit")


@dataclass(frozen=True, kw_only=True)
class LabelsConfig:
    """Are findings as asked? A finding asked present must be seen, one asked absent must not."""

    findings: tuple[FindingName, ...] | None = None
    """The findings that are judged; null: all that prompts tell."""
    false_alarms: float = 0.05
    """Share at most of real, rightly labelled patients that would be dropped."""

    def __post_init__(self) -> None:
        require_range(self, "labels.false_alarms", above=0, below=1)
        require_distinct(self, "labels.findings", note="or null for all")


@dataclass(frozen=True, kw_only=True)
class SidesConfig:
    """Is a finding on the side that was asked for? Of frontal films; by a network of its own."""

    findings: tuple[FindingName, ...] | None = None
    """The findings that are judged; null: all that prompts tell on one side."""
    false_alarms: float = 0.05
    """Share at most of real patients that would be dropped."""

    def __post_init__(self) -> None:
        require_range(self, "sides.false_alarms", above=0, below=1)
        require_distinct(self, "sides.findings", note="or null for all")


@dataclass(frozen=True, kw_only=True)
class ViewConfig:
    """Is the view as asked? By the proxy."""

    false_alarms: float = 0.01
    """Share at most of real patients that would be dropped."""

    def __post_init__(self) -> None:
        require_range(self, "view.false_alarms", above=0, below=1)


@dataclass(frozen=True, kw_only=True)
class QualityConfig:
    """Is the image blank, flat, saturated, smeared or grainy? By what real films are like."""

    false_alarms: float = 0.01
    """Share at most of real patients that lie beyond limits, before these are widened."""
    margin: float = 2.0
    """Limits are so many times as far from the usual film: a model's films may differ from real
    ones in contrast, say, and not be spoilt."""

    def __post_init__(self) -> None:
        require_range(self, "quality.false_alarms", above=0, below=1)
        require_range(self, "quality.margin", at_least=1)


@dataclass(frozen=True, kw_only=True)
class OutliersConfig:
    """Is there no real film like it? The distance of features to the k-th nearest real film."""

    extractor: ExtractorName = "roentgen"
    """What turns images into features."""
    weights: str | None = None
    """Its weights, as evaluation's extractors have them; null: the shipped ones of roentgen."""
    neighbour: int = 5
    """k."""
    films: int = 20_000
    """Real films that are compared with; of more so many are drawn by lot."""
    false_alarms: float = 0.01
    """Share at most of real patients that would be dropped."""

    def __post_init__(self) -> None:
        require_range(self, "outliers.false_alarms", above=0, below=1)
        most = "which is outliers.films"
        require_range(self, "outliers.neighbour", at_least=1, at_most=self.films, note=most)


@dataclass(frozen=True, kw_only=True)
class CopiesConfig:
    """Is it a copy of a training image? Shifts, contrast and noise are seen through."""

    shift: int = 4
    """Pixels, at a side of 128, by which a copy may be shifted."""
    false_alarms: float = 0.005
    """Share at most of real patients that would be called copies. n held-out patients can vouch
    for 1 / (n + 1): of fewer than it takes the limit lies beyond the likeliest of them."""

    def __post_init__(self) -> None:
        require_range(self, "copies.false_alarms", above=0, below=1)
        require_range(self, "copies.shift", at_least=0, at_most=16)


@dataclass(frozen=True, kw_only=True)
class DuplicatesConfig:
    """Is it nearly the same as another image of the set? The first of them stays."""

    shift: int = 4
    """Pixels, at a side of 128, by which a duplicate may be shifted."""
    false_alarms: float = 0.001
    """Share at most of real patients who would be called duplicates of another patient."""
    films: int = 2_000
    """Real patients, drawn by lot, whose similarity to each other sets the limit."""

    def __post_init__(self) -> None:
        require_range(self, "duplicates.false_alarms", above=0, below=1)
        require_range(self, "duplicates.shift", at_least=0, at_most=16)
        require_range(self, "duplicates.films", at_least=20)


@dataclass(frozen=True, kw_only=True)
class DemographicsConfig:
    """Are sex and age as asked? Read from the proxy's features by sums fitted on real films."""

    false_alarms: float = 0.05
    """Share at most of real patients that would be dropped."""

    def __post_init__(self) -> None:
        require_range(self, "demographics.false_alarms", above=0, below=1)


@dataclass(frozen=True, kw_only=True)
class ScreenConfig:
    """Screen a synthetic set: what passes every gate is kept, what does not is drawn again."""

    dataset: Path
    """The synthetic set."""
    reference: ReferenceConfig
    """Real films."""
    output: Path
    """The screened set, a dataset folder; beside it OUTPUT-dropped gets pictures of what was
    dropped, in place of an earlier run's."""
    overwrite: bool = False
    """Replace the screened set if it exists."""
    caches: Path | None = None
    """Folder of trained networks, which runs may share; null: caches, beside the output."""
    proxy: ProxyConfig = field(default_factory=ProxyConfig)
    """The network that says what an image shows."""
    labels: LabelsConfig | None = field(default_factory=LabelsConfig)
    """Are findings as asked?"""
    sides: SidesConfig | None = None
    """Are they on the side that was asked for?"""
    view: ViewConfig | None = field(default_factory=ViewConfig)
    """Is the view as asked?"""
    quality: QualityConfig | None = field(default_factory=QualityConfig)
    """Is it blank, flat, saturated, smeared or grainy?"""
    outliers: OutliersConfig | None = field(default_factory=OutliersConfig)
    """Is there no real film like it?"""
    copies: CopiesConfig | None = field(default_factory=CopiesConfig)
    """Is it a copy of a training image?"""
    duplicates: DuplicatesConfig | None = field(default_factory=DuplicatesConfig)
    """Is it nearly the same as another image of the set?"""
    demographics: DemographicsConfig | None = None
    """Are sex and age as asked?"""
    attempts: int = 3
    """Rounds in which what was dropped is drawn again with new seeds; 0: none."""
    best_of: int = 1
    """Images drawn for each row of the plan, of which the one is kept whose findings are most as
    asked (the set's own image is one of the first round's)."""
    model: str | None = None
    """The model that made the set, if it lies elsewhere now than the set says."""
    seed: int = 0
    """Of what is drawn again, of networks' training and of lots."""
    pictures: int = 16
    """Dropped images shown of each gate."""

    def __post_init__(self) -> None:
        require_range(self, "attempts", at_least=0)
        require_range(self, "best_of", "pictures", at_least=1)
        require(
            self.best_of == 1 or self.labels is not None,
            "best_of needs the score of labels: set labels, or best_of: 1",
        )
        require(
            any(getattr(self, name) for name in GATES),
            f"every gate is null: set at least one of {', '.join(GATES)}",
        )
        require(
            self.output.resolve() != self.dataset.resolve(),
            f"output is the set that is screened ({self.dataset}): name another",
        )

    @property
    def dropped(self) -> Path:
        """The folder with pictures of what was dropped."""
        output = self.output.resolve()
        return output.with_name(f"{output.name}-dropped")

    @property
    def caches_folder(self) -> Path:
        """Where trained networks lie."""
        return self.caches or self.output.resolve().parent / "caches"


GATES = (
    "labels",
    "sides",
    "view",
    "quality",
    "outliers",
    "demographics",
    "copies",
    "duplicates",
)
