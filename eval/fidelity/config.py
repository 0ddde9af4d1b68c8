"""Settings of fidelity."""

from dataclasses import dataclass

from roentgen.setting_checks import require_range


@dataclass(frozen=True, kw_only=True)
class FidelityConfig:
    """Distances to held-out real radiographs."""

    bootstrap: int = 100
    """Bootstrap resamples for intervals; each costs one eigendecomposition per set."""
    subsets: int = 10
    """Random subsets of n images over which FID of a larger set is averaged."""
    neighbors: int = 5
    """k of precision, recall, density and coverage: a neighborhood reaches to the k-th neighbor."""
    min_subgroup_images: int = 50
    """A finding, view, sex, age band or race with fewer images in a set or a split is listed as not
    measured."""
    max_subgroup_images: int = 500
    """Larger subgroups are sampled down to this, so that all distances take minutes, not hours."""

    def __post_init__(self) -> None:
        require_range(
            self,
            "fidelity.max_subgroup_images",
            at_least=self.min_subgroup_images,
            note="fidelity.min_subgroup_images",
        )
        require_range(self, "fidelity.bootstrap", "fidelity.min_subgroup_images", at_least=20)
        require_range(self, "fidelity.subsets", "fidelity.neighbors", at_least=1)
