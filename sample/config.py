"""What generation can be told; each section is checked as soon as it is read."""

from dataclasses import dataclass, field
from pathlib import Path

from roentgen.diffusion.conditions.prompt_encoding import TooLong
from roentgen.diffusion.sampling.sampler import SamplerSettings
from roentgen.prompts.grammar import PromptStyle
from roentgen.record.radiograph import Split
from roentgen.setting_checks import require, require_range
from sample.prompts.config import PromptsConfig


@dataclass(frozen=True, kw_only=True)
class GenerateConfig:
    """Generate synthetic radiographs: a radiograph dataset, its plan and a contact sheet."""

    model: str
    """A model folder, a repository id, or "tiny" for the shipped one."""
    prompts: PromptsConfig
    """What is drawn."""
    output: Path
    """The dataset folder that is made."""
    overwrite: bool = False
    """Replace the output folder if it exists."""
    style: PromptStyle | None = None
    """What prompts tell; null: what the model was trained with."""
    long_prompts: TooLong | None = None
    """refuse or truncate prompts beyond the token limit; null: as the model was trained."""
    sampler: SamplerSettings = field(default_factory=SamplerSettings)
    """How images are drawn."""
    seed: int = 0
    """Every image's own seed derives from it, its prompt and its number."""
    split: Split = "train"
    """The split the images come to stand in."""
    sheet_prompts: int = 16
    """Prompts shown on the contact sheet."""
    dry_run: bool = False
    """Say what would be drawn, how long it would take and on how much disk, and end."""

    def __post_init__(self) -> None:
        require_range(self, "sheet_prompts", at_least=1)
        require(
            self.prompts.negative_prompt is None or self.sampler.guidance_scale > 1,
            "prompts.negative_prompt has no effect without guidance: set sampler.guidance_scale "
            "above 1, or leave it out",
        )
        plain = SamplerSettings()
        for name in ("conditioning_scale", "conditioning_interval"):
            require(
                self.prompts.masks is not None
                or getattr(self.sampler, name) == getattr(plain, name),
                f"sampler.{name} has no effect without prompts.masks: leave it out",
            )
