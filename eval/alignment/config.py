"""Settings of alignment."""

from dataclasses import dataclass

from roentgen.errors import InputError
from roentgen.setting_checks import require_range


@dataclass(frozen=True, kw_only=True)
class ClipConfig:
    """A model that embeds images and prompts in one space."""

    name: str
    """Its name in the report: "CLIP", "BiomedCLIP"."""
    model: str
    """Folder in open_clip's layout, or hf-hub:OWNER/NAME; if absent, the error says how to bring
    it."""


@dataclass(frozen=True, kw_only=True)
class AlignmentConfig:
    """Agreement of images with their prompts."""

    validation: float = 0.2
    """The share of the train split's patients that the reference classifier's thresholds are chosen
    on; they are not trained on."""
    clip: tuple[ClipConfig, ...] = ()
    """Models for the cosine of image and prompt, and for finding an image's prompt among others."""
    pool: int = 1000
    """Number of different prompts among which an image's own is searched for; fewer if a set
    has fewer."""

    def __post_init__(self) -> None:
        require_range(self, "alignment.pool", at_least=20)
        require_range(self, "alignment.validation", above=0, below=1)
        names = [model.name for model in self.clip]
        if len(set(names)) < len(names):
            raise InputError(f"alignment.clip names are {names}: give each model its own")
