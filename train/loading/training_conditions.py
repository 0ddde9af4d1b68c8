"""Training conditions: the kinds of conditions besides prompts, and their caches.

A run's are listed by `RunConfig.conditions`. To add one, write a module beside `mask_cache`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from roentgen.dataset.dataset import RadiographDataset, RadiographSplit
from roentgen.diffusion.conditions.conditions import Conditions
from roentgen.record.radiograph import Radiograph
from train.loading.draws import Draws, Dropout
from train.loading.image_variants import ImageVariants

if TYPE_CHECKING:
    from accelerate import Accelerator


class ConditionCache(Protocol):
    """One kind of condition of a split's items, made beforehand."""

    def conditions(self, draws: Draws) -> Conditions:
        """The drawn items' conditions of this kind, none dropped."""


class TrainingCondition(Protocol):
    """One kind of condition that a run trains with besides the prompt."""

    @property
    def name(self) -> str:
        """The name of its tensor in `Conditions`."""

    @property
    def dropout(self) -> Dropout:
        """How often it is withheld."""

    def check(self, dataset: RadiographDataset, split: str) -> None:
        """Raises InputError unless a split of the dataset has such conditions."""

    def exclusion(self, split: RadiographSplit) -> Callable[[int, Radiograph], str | None]:
        """Why a row of the split, with this record, cannot be trained on; None if it can."""

    def bytes_per_image(self, size: int) -> int:
        """Bytes of the cache for each image or variant of `size` pixels a side."""

    def example(self, count: int, size: int) -> Conditions:
        """Conditions of the right shape for so many images, to try a step with."""

    def cache(
        self, images: ImageVariants, folder: Path, accelerator: "Accelerator"
    ) -> ConditionCache:
        """Make what is missing, each process its share, and open the cache in `folder`.

        Raises InputError for a condition that cannot be read.
        """
