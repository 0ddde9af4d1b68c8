"""Mask source: the masks of planned images, read from a dataset as they are drawn."""

from collections.abc import Sequence

import numpy as np

from roentgen.dataset.dataset import open_dataset
from roentgen.dataset.structure_masks import masks_of
from roentgen.diffusion.components import Components
from roentgen.diffusion.conditions.supported import check_masks_supported
from roentgen.errors import InputError
from roentgen.generation.image_conditions import ImageConditions
from roentgen.generation.planned_images import PlannedImage
from roentgen.record.finding import FINDING_OF, states
from roentgen.record.radiograph import Masks
from sample.masks.transforms import transform_masks
from sample.prompts.config import MaskPrompts


class MaskSource:
    """The masks of planned images, each read from a dataset as the image is drawn."""

    def __init__(self, config: MaskPrompts) -> None:
        dataset = open_dataset(config.folder)
        self._config = config
        self._split = dataset.split(config.split)
        self._prepared_size = (dataset.manifest.get("preparation") or {}).get("size")

    def check(self, components: Components) -> None:
        """See `ConditionSource`."""
        check_masks_supported(components, self._config.structures or ())
        required, size = components.image_size, self._prepared_size
        if size is not None and size != required:
            raise InputError(
                f"masks of {self._config.folder} are {size}x{size}, the model draws "
                f"{required}x{required}: prepare the dataset with that size"
            )

    def of(self, image: PlannedImage, components: Components) -> ImageConditions:
        """See `ConditionSource`."""
        if image.mask_row is None:
            return ImageConditions()
        structures = self._config.structures or components.structures
        return ImageConditions(masks=self.masks(image, structures, components.image_size))

    def masks(self, image: PlannedImage, structures: Sequence[str], size: int) -> Masks:
        """Bool [H, W] by structure, as planned; masks of absent findings are empty.

        Raises InputError for a mask that does not fit its image, or where none is known.
        """
        assert image.mask_row is not None
        radiograph = self._split[image.mask_row]
        if radiograph.id != image.from_radiograph:
            raise InputError(
                f"the plan was made for another dataset: its row {image.mask_row} is "
                f"{radiograph.id!r}, not {image.from_radiograph!r}; make the plan again"
            )
        masks = masks_of(radiograph, structures, size)
        transforms = self._config.transforms
        if image.mask_seed is not None and transforms is not None:
            view, seed = radiograph.view, image.mask_seed
            masks = transform_masks(masks, transforms, view=view, seed=seed)
        present = {n for n, s in states(image.findings).items() if s != "absent"}
        for name, mask in masks.items():
            if mask is not None and name in FINDING_OF and FINDING_OF[name] not in present:
                masks[name] = np.zeros_like(mask)
        if all(mask is None for mask in masks.values()):
            raise InputError(
                f"radiograph {radiograph.id!r} has no mask of {', '.join(structures)}: name "
                "others in prompts.masks.structures"
            )
        return masks
