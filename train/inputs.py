"""Inputs of a training run: dataset, splits, prompts and base model, checked to fit."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roentgen.dataset.dataset import RadiographDataset
from roentgen.diffusion.components import Components
from roentgen.preparation.filtered_split import FilteredSplit
from train.loading.image_variants import ImageVariants
from train.loading.split_prompts import SplitPrompts


@dataclass(frozen=True, kw_only=True)
class SplitInputs:
    """A split, its images with their variants, and its prompts."""

    split: FilteredSplit
    images: ImageVariants
    prompts: SplitPrompts


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Inputs of a run, checked to fit each other."""

    dataset: RadiographDataset
    training: SplitInputs
    held_out: SplitInputs | None
    base: Path
    components: Components
    size: int  # of the images, pixels
    identity: dict[str, Any]  # what a checkpoint must agree with to be resumed from
    checkpoint: tuple[Path, dict[str, Any]] | None
    disk: dict[str, int]  # bytes that are needed, by what they hold

    @property
    def splits(self) -> list[SplitInputs]:
        """The training split and, if there is one, the held-out split."""
        return [self.training, *([self.held_out] if self.held_out else [])]
