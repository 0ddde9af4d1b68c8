"""Settings of utility."""

from dataclasses import dataclass
from typing import Literal

from roentgen.setting_checks import require, require_distinct, require_range


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
    fractions: tuple[float, ...] = (1.0,)
    """Fractions of the real patients, such as [0.01, 0.1, 1]; 1 is required, for scale."""
    pretraining: float = 0.5
    """Share of the steps of "pretrained" on synthetic images."""
    fine_tuning: float = 0.1
    """Its learning rate on real images, as a factor of classifier.learning_rate."""
    validation: float = 0.2
    """Share of the train split's patients on whom operating points are chosen, excluded from
    training."""

    def __post_init__(self) -> None:
        require_distinct(self, "utility.seeds", "utility.multiples", "utility.fractions")
        require_range(self, "utility.multiples", "utility.fine_tuning", above=0)
        require_range(self, "utility.fractions", above=0, at_most=1)
        require(
            1 in self.fractions,
            f"utility.fractions is {list(self.fractions)}: 1 must be among them",
        )
        require_range(self, "utility.pretraining", "utility.validation", above=0, below=1)
