"""Settings of generation; each section is checked as soon as it is read."""

from dataclasses import dataclass, field
from pathlib import Path

from roentgen.diffusion.sampling.settings import SamplerSettings
from roentgen.errors import require, require_range
from roentgen.prompts.grammar import PromptStyle
from roentgen.prompts.token_lengths import TooLong
from roentgen.record.radiograph import Split
from sample.prompts.config import PromptsConfig


@dataclass(frozen=True, kw_only=True)
class GenerateConfig:
    """Generate synthetic radiographs: a radiograph dataset, its plan and a contact sheet."""

    model: str
    """A model folder, a repository id, or "tiny" for the shipped one."""
    prompts: PromptsConfig
    """The prompts to draw."""
    output: Path
    """The dataset folder to create."""
    overwrite: bool = False
    """Replace the output folder if it exists."""
    style: PromptStyle | None = None
    """The contents of prompts; null: as the model was trained."""
    long_prompts: TooLong | None = None
    """refuse or truncate prompts beyond the token limit; null: as the model was trained."""
    sampler: SamplerSettings = field(default_factory=SamplerSettings)
    """Settings of the sampler."""
    seed: int = 0
    """Base seed, from which each image's seed is derived with its prompt and number."""
    split: Split = "train"
    """The split of the images in the new dataset."""
    sheet_prompts: int = 16
    """Number of prompts on the contact sheet."""
    dry_run: bool = False
    """Print what would be drawn, the time and the disk space it would take, and exit."""

    def __post_init__(self) -> None:
        require_range(self, "sheet_prompts", at_least=1)
        require(
            self.prompts.negative_prompt is None or self.sampler.guidance_scale > 1,
            "prompts.negative_prompt has no effect without guidance: set sampler.guidance_scale "
            "above 1, or remove it",
        )
        plain = SamplerSettings()
        for name in ("conditioning_scale", "conditioning_interval"):
            require(
                self.prompts.masks is not None
                or getattr(self.sampler, name) == getattr(plain, name),
                f"sampler.{name} has no effect without prompts.masks: remove it",
            )
