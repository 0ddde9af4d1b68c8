"""Settings of utility."""

from dataclasses import dataclass
from typing import Literal

from roentgen.setting_checks import require, require_distinct, require_range


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
