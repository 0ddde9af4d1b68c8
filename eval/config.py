"""What `eval.evaluate` compares, and how."""

from dataclasses import dataclass, field
from pathlib import Path

from roentgen.data.findings import FindingName
from roentgen.errors import InputError
from roentgen.models.classifier import ClassifierConfig
from roentgen.models.extractor import ExtractorName
from roentgen.models.labels import NotMentioned


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
class ExtractorConfig:
    """What turns images into features for FID."""

    name: ExtractorName = "roentgen"
    """roentgen (shipped), inception, xrv or rad-dino."""
    weights: Path | None = None
    """Where the weights lie, for all but roentgen; if absent, the error says how to bring them."""


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Compare synthetic sets with a real one: fidelity, diversity, alignment, utility."""

    reference: ReferenceConfig
    synthetic: dict[str, Path]
    """Name -> radiograph dataset, in the order to show them ("before", "after")."""
    main: str | None = None
    """The set that utility is measured on and the summary is about; null: the last one."""
    findings: tuple[FindingName, ...]
    """The findings whose AUROC is reported and averaged."""
    output: Path
    """Folder that gets report.html and results.json; it may hold other things."""
    overwrite: bool = False
    """Replace the results that the output folder holds."""
    seed: int = 0
    """Of subsets, resamples and pictures."""
    extractor: ExtractorConfig = field(default_factory=ExtractorConfig)
    """What turns images into features for FID."""
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)
    """The small network of alignment and utility."""
    classifier_seeds: tuple[int, ...] = (0,)
    """Utility trains once a seed and averages; alignment takes the first."""
    not_mentioned: NotMentioned = "ignore"
    """A finding that is not mentioned: "ignore" it, or call it "absent" as label tables do."""
    utility: bool = True
    """Also train on the synthetic set and on both: two more trainings a seed."""
    bootstrap: int = 1000
    """Resamples for the intervals of AUROC and MS-SSIM."""
    fid_bootstrap: int = 100
    """Resamples for the intervals of FID; each is one eigenproblem a set."""
    fid_subsets: int = 10
    """Where a set has more images than the others, FID is averaged over so many subsets."""
    min_cases: int = 5
    """Fewer positives or negatives than this: the finding is listed as not measured."""
    images_per_prompt: int = 4
    """MS-SSIM takes at most so many images of a prompt (4: all 6 pairs, as RoentGen did)."""
    allow_other_fit: bool = False
    """Compare sets whose images were fitted otherwise than the reference's, as those of a base
    model that was trained on other films; the report says so."""
    max_images: int | None = None
    """Look at so many images of each set, drawn by seed; null: all."""
    pictures: int = 3
    """Images in each cell of the picture grid."""

    def __post_init__(self) -> None:
        if not self.synthetic:
            raise InputError("synthetic is empty: name at least one synthetic dataset")
        if self.main is not None and self.main not in self.synthetic:
            known = ", ".join(self.synthetic)
            raise InputError(
                f"main is {self.main!r}, which synthetic does not name; it has: {known}"
            )
        taken = {"train", "test", "reference", "floor", "ceiling", "definition"}
        taken &= set(self.synthetic)
        if taken:
            raise InputError(f"synthetic.{min(taken)}: the report uses this name; choose another")
        if not self.findings:
            raise InputError("findings is empty: name at least one")
        if not self.classifier_seeds:
            raise InputError("classifier_seeds is empty: give at least one")
        minima = {"bootstrap": 20, "fid_bootstrap": 20, "fid_subsets": 1, "min_cases": 1}
        minima |= {"images_per_prompt": 2, "pictures": 1}
        for name, least in minima.items():
            if getattr(self, name) < least:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least {least}")

    @property
    def main_name(self) -> str:
        """The set that the summary is about."""
        return self.main or list(self.synthetic)[-1]
