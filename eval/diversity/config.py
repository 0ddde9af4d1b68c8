"""Settings of diversity."""

from dataclasses import dataclass

from roentgen.setting_checks import require_range


@dataclass(frozen=True, kw_only=True)
class DiversityConfig:
    """Similarity of images: with the same prompt, with a finding, and in the whole set."""

    images_per_prompt: int = 4
    """Maximum number of images per prompt for MS-SSIM (4: all 6 pairs, as in RoentGen)."""
    prompts: int = 2000
    """Maximum number of prompts, sampled by the seed (2000, as in RoentGen)."""
    pairs: int = 1000
    """Maximum number of random pairs of images with a finding, and of the whole set."""

    def __post_init__(self) -> None:
        names = ("images_per_prompt", "prompts", "pairs")
        require_range(self, *(f"diversity.{name}" for name in names), at_least=2)
