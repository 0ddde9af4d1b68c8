"""Training conditions: the kinds of conditions besides prompts, and their caches.

A run's are those of `train.setup.conditions`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from roentgen.dataset.dataset import RadiographDataset, RadiographSplit
from roentgen.diffusion.conditions.condition_kinds import KINDS
from roentgen.diffusion.conditions.conditions import Conditions
from roentgen.errors import InputError
from roentgen.record.radiograph import Radiograph
from train.loading.draws import Draws
from train.loading.image_variants import ImageVariants

if TYPE_CHECKING:
    from accelerate import Accelerator

ConditionCache = Callable[[Draws], Conditions]  # the drawn items' of one kind, none dropped


@dataclass(frozen=True, kw_only=True)
class TrainingCondition(ABC):
    """One kind of condition that a run trains with besides the prompt."""

    name: str  # of its tensor in `Conditions`

    @abstractmethod
    def check(self, dataset: RadiographDataset, split: str) -> None:
        """Raises InputError unless a split of the dataset has such conditions."""

    @abstractmethod
    def cache(
        self, images: ImageVariants, folder: Path, accelerator: "Accelerator"
    ) -> ConditionCache:
        """Make what is missing, each process its share, and open the cache in `folder`.

        Raises InputError for a condition that cannot be read.
        """

    def exclusion(self, split: RadiographSplit) -> Callable[[int, Radiograph], str | None]:
        """Why a row of the split, with this record, cannot be trained on; None if it can."""
        return lambda row, radiograph: None

    def bytes_per_image(self, size: int) -> int:
        """Bytes of the cache for each image or variant of `size` pixels a side."""
        return 0

    def example(self, count: int, size: int) -> Conditions:
        """Conditions of the right shape for so many images, to try a step with."""
        return Conditions()


class RecordCondition(TrainingCondition):
    """A condition of `KINDS`, whose values are held in memory."""

    def check(self, dataset: RadiographDataset, split: str) -> None:
        """Raises InputError unless the value of a radiograph of the split is known."""
        records = dataset.split(split).without_images()
        if not any(KINDS[self.name].value(radiograph).any() for radiograph in records):
            raise InputError(
                f"conditions: no radiograph of split {split!r} of {dataset.folder} has a known "
                f"{self.name}"
            )

    def cache(
        self, images: ImageVariants, folder: Path, accelerator: "Accelerator"
    ) -> ConditionCache:
        """The values of the radiographs, which their variants have too."""
        kind = KINDS[self.name]
        values = torch.stack([kind.value(record) for record in images.images.without_images()])
        return lambda draws: Conditions(added={self.name: values[draws.items]})
