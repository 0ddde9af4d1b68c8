"""Settings of the text encoder's probes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from roentgen.setting_checks import require_range


@dataclass(frozen=True, kw_only=True)
class TextEncoderConfig:
    """Findings that report embeddings encode, before and after fine-tuning."""

    before: str
    """Model folder (or hub name) with the text encoder before fine-tuning."""
    after: str
    """Model folder (or hub name) with the fine-tuned one."""
    reports: Path | None = None
    """Open-i's NLMCXR_reports.tgz or a folder of its XML files, with manually annotated
    findings; null: the reports of the reference's test split, with its findings."""
    text: Literal["impression", "findings"] = "impression"
    """The section to embed; reports without it are excluded and counted."""
    folds: int = 5
    """Number of folds; each is tested with probes fitted on the others."""

    def __post_init__(self) -> None:
        require_range(self, "text_encoder.folds", at_least=2)
