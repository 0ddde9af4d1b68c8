"""Settings of mask fidelity."""

from dataclasses import dataclass

from roentgen.setting_checks import require_distinct


@dataclass(frozen=True, kw_only=True)
class MasksConfig:
    """Whether what is drawn lies where its masks say."""

    structures: tuple[str, ...]
    """Structures of which the real films and every synthetic set have masks."""

    def __post_init__(self) -> None:
        require_distinct(self, "masks.structures")
