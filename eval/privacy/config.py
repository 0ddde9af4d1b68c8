"""Settings of privacy."""

from dataclasses import dataclass

from roentgen.setting_checks import require, require_range


@dataclass(frozen=True, kw_only=True)
class PrivacyConfig:
    """Near-duplicates of training images, and membership inference."""

    examples: int = 8
    """Number of most similar pairs on the page."""
    false_alarms: float = 0.01
    """Share of held-out patients that may exceed the threshold of a near-duplicate."""
    shift: int = 4
    """Largest shift of a near-duplicate, in pixels at a side of 128."""
    membership_images: int | None = 200
    """Radiographs of each split for membership inference; null: not measured."""
    timesteps: tuple[int, ...] = (100, 300, 500)
    """Timesteps of the model's loss, of 1,000."""
    noises: int = 2
    """Noise samples at each timestep."""

    def __post_init__(self) -> None:
        require_range(self, "privacy.examples", "privacy.noises", at_least=1)
        require_range(self, "privacy.shift", at_least=0)
        require_range(self, "privacy.false_alarms", above=0, below=0.5)
        require_range(self, "privacy.membership_images", at_least=20, note="or null")
        require(self.timesteps != (), "privacy.timesteps is empty: give some from 0 to 999")
        require_range(self, "privacy.timesteps", at_least=0, below=1000)
