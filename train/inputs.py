"""Inputs of a training run: dataset, splits, prompts and base model, checked to fit."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roentgen.dataset.dataset import (
    RadiographDataset,
)
from roentgen.diffusion.components import Components
from train.loading.batches import Prompts
from train.loading.filtered_split import FilteredSplit


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What a run works with, found to fit."""

    dataset: RadiographDataset
    split: FilteredSplit
    prompts: Prompts
    held_out: tuple[FilteredSplit, Prompts] | None
    base: Path
    components: Components
    size: int  # of the images, pixels
    identity: dict[str, Any]  # what a checkpoint must agree with to be resumed from
    checkpoint: tuple[Path, dict[str, Any]] | None
    disk: dict[str, int]  # bytes that are needed, by what they hold
