"""Settings of segmentation utility."""

from dataclasses import dataclass

from roentgen.setting_checks import require, require_distinct, require_range


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
