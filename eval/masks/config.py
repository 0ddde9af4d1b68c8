"""Settings of mask fidelity."""

from dataclasses import dataclass

from roentgen.setting_checks import require_distinct


@dataclass(frozen=True, kw_only=True)
class MasksConfig:
    """Agreement of images with the masks they were generated from."""

    structures: tuple[str, ...]
    """Structures with masks in the real set and in every synthetic set."""

    def __post_init__(self) -> None:
        require_distinct(self, "masks.structures")
