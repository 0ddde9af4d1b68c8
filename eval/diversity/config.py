"""Settings of diversity."""

from dataclasses import dataclass

from roentgen.setting_checks import require_range


@dataclass(frozen=True, kw_only=True)
class DiversityConfig:
    """How alike images are: those asked for alike, those with a finding, and all."""

    images_per_prompt: int = 4
    """MS-SSIM takes at most so many images of a prompt (4: all 6 pairs, as RoentGen did)."""
    prompts: int = 2000
    """At most so many prompts, drawn by the seed (2000, as RoentGen did)."""
    pairs: int = 1000
    """At most so many random pairs of images with a finding, and of the whole set."""

    def __post_init__(self) -> None:
        names = ("images_per_prompt", "prompts", "pairs")
        require_range(self, *(f"diversity.{name}" for name in names), at_least=2)
