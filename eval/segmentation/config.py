"""Settings of segmentation utility."""

from dataclasses import dataclass

from roentgen.setting_checks import require, require_distinct, require_range


@dataclass(frozen=True, kw_only=True)
class SegmentationConfig:
    """Gain of a segmenter from training on synthetic images."""

    structures: tuple[str, ...]
    """Structures with masks in the real set and in the main set."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Each trains every segmenter once; t-tests are over them, so give several."""
    fraction: float = 1.0
    """Fraction of the real patients to train on, in all regimes: gains are largest with few."""
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
        require_range(self, "segmentation.fraction", above=0, at_most=1)
