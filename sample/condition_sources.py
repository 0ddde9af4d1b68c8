"""Condition sources of a configuration: where conditions besides the prompts come from."""

from functools import cached_property
from pathlib import Path

import numpy as np

from roentgen.dataset.dataset import RadiographSplit, open_dataset
from roentgen.diffusion.components import Components
from roentgen.diffusion.conditions.record_conditions import condition_fields
from roentgen.errors import InputError
from roentgen.generation.image_conditions import ConditionSource, ImageConditions
from roentgen.generation.planned_images import PlannedImage
from sample.mask_source import MaskSource
from sample.prompts.config import PromptsConfig


def condition_sources(prompts: PromptsConfig) -> list[ConditionSource]:
    """The sources of masks and of other conditions. Raises InputError for one that cannot open."""
    sources: list[ConditionSource] = [MaskSource(prompts.masks)] if prompts.masks else []
    if dataset := prompts.dataset or prompts.masks:
        sources.append(RecordSource(dataset.folder, dataset.split))
    return sources


class RecordSource:
    """Gives an image its radiograph's fields on which the model's conditions depend.

    Fields that the image states itself, as those that its prompt names, stay as they are.
    """

    def __init__(self, folder: Path, split: str) -> None:
        self._folder, self._name = folder, split

    def check(self, components: Components) -> None:
        """See `ConditionSource`."""

    def of(self, image: PlannedImage, components: Components) -> ImageConditions:
        """See `ConditionSource`."""
        if not components.condition_networks or image.from_radiograph is None:
            return ImageConditions()
        if image.from_radiograph not in self._rows:
            raise InputError(
                f"the plan was made for another dataset: {self._folder} has no radiograph "
                f"{image.from_radiograph!r}; make the plan again"
            )
        (record,) = self._split.records(np.array([self._rows[image.from_radiograph]]))
        names = (n for n in condition_fields(components) if not getattr(image, n, None))
        return ImageConditions(record={name: getattr(record, name) for name in names})

    @cached_property
    def _split(self) -> RadiographSplit:
        return open_dataset(self._folder).split(self._name)

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self._split.ids())}
