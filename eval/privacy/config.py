"""Settings of privacy."""

from dataclasses import dataclass

from roentgen.setting_checks import require, require_range


@dataclass(frozen=True, kw_only=True)
class PrivacyConfig:
    """Whether training images were copied."""

    examples: int = 8
    """The worst pairs that are shown side by side."""
    false_alarms: float = 0.01
    """The share of held-out patients that the threshold of a copy may call copied."""
    shift: int = 4
    """Pixels, at a side of 128, by which a copy may be shifted."""
    membership_images: int | None = 200
    """Films of each side that membership is inferred on; null: leave it out."""
    timesteps: tuple[int, ...] = (100, 300, 500)
    """Where the model's loss is taken, of its 1,000 steps of noise."""
    noises: int = 2
    """Noises at each timestep."""

    def __post_init__(self) -> None:
        require_range(self, "privacy.examples", "privacy.noises", at_least=1)
        require_range(self, "privacy.shift", at_least=0)
        require_range(self, "privacy.false_alarms", above=0, below=0.5)
        require_range(self, "privacy.membership_images", at_least=20, note="or null")
        require(self.timesteps != (), "privacy.timesteps is empty: give some from 0 to 999")
        require_range(self, "privacy.timesteps", at_least=0, below=1000)
