"""The settings of each part of an evaluation; a part whose section is null is left out."""

from dataclasses import dataclass
from pathlib import Path

from roentgen.errors import InputError
from roentgen.models.extractor import ExtractorName


@dataclass(frozen=True, kw_only=True)
class ExtractorConfig:
    """What turns images into features."""

    name: ExtractorName = "roentgen"
    """roentgen (shipped), inception, xrv or rad-dino."""
    weights: Path | None = None
    """Where the weights lie, for all but roentgen; if absent, the error says how to bring them."""


@dataclass(frozen=True, kw_only=True)
class FidelityConfig:
    """How close to held-out real films."""

    extractors: tuple[ExtractorConfig, ...] = (ExtractorConfig(),)
    """What distances are taken on; the first is the summary's."""
    bootstrap: int = 100
    """Resamples for the intervals; each is one eigenproblem a set."""
    subsets: int = 10
    """Where a set has more images than the others, the mean over so many subsets of n."""

    def __post_init__(self) -> None:
        at_least("fidelity", self, bootstrap=20, subsets=1)
        if not self.extractors:
            raise InputError("fidelity.extractors is empty: name at least one, or fidelity: null")


@dataclass(frozen=True, kw_only=True)
class DiversityConfig:
    """How alike images are that were asked for alike."""

    images_per_prompt: int = 4
    """MS-SSIM takes at most so many images of a prompt (4: all 6 pairs, as RoentGen did)."""

    def __post_init__(self) -> None:
        at_least("diversity", self, images_per_prompt=2)


@dataclass(frozen=True, kw_only=True)
class AlignmentConfig:
    """Whether it is what was asked for."""


@dataclass(frozen=True, kw_only=True)
class UtilityConfig:
    """Whether training on it helps."""

    seeds: tuple[int, ...] = (0,)
    """Networks are trained once a seed."""

    def __post_init__(self) -> None:
        if not self.seeds:
            raise InputError("utility.seeds is empty: give at least one")


@dataclass(frozen=True, kw_only=True)
class TextEncoderConfig:
    """What report embeddings know of findings, before and after fine-tuning."""

    before: str
    """Model folder (or hub name) with the text encoder as it was."""
    after: str
    """Model folder (or hub name) with the fine-tuned one."""


@dataclass(frozen=True, kw_only=True)
class PrivacyConfig:
    """Whether training images were copied."""

    examples: int = 8
    """The worst pairs that are shown side by side."""
    false_alarms: float = 0.01
    """The share of held-out real films that the threshold of a copy may call copies."""

    def __post_init__(self) -> None:
        at_least("privacy", self, examples=1)
        if not 0 < self.false_alarms < 0.5:
            raise InputError(
                f"privacy.false_alarms is {self.false_alarms}; it must be above 0 and below 0.5"
            )


def at_least(section: str, config: object, **minima: int) -> None:
    """Raise InputError naming the first setting below its minimum."""
    for name, least in minima.items():
        if getattr(config, name) < least:
            place = f"{section}.{name}" if section else name
            raise InputError(f"{place} is {getattr(config, name)}; it must be at least {least}")
