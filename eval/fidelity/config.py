"""Settings of fidelity."""

from dataclasses import dataclass

from roentgen.setting_checks import require_range


@dataclass(frozen=True, kw_only=True)
class FidelityConfig:
    """How close to held-out real films."""

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
