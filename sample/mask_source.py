"""Mask source: the masks of planned images, read from a dataset as they are drawn."""

import numpy as np

from roentgen.dataset.dataset import open_dataset
from roentgen.dataset.structure_masks import masks_of
from roentgen.diffusion.components import Components
from roentgen.errors import InputError
from roentgen.generation.planned_images import PlannedImage
from roentgen.record.findings import states
from roentgen.record.structures import FINDING_OF, Masks
from sample.masks.transforms import transformed
from sample.prompts.config import MaskPrompts


class MaskSource:
    """Gives the masks of planned images, read as they are drawn."""

    def __init__(self, source: MaskPrompts, components: Components) -> None:
        """Raises InputError for masks that the model cannot take."""
        if components.controlnet is None:
            raise InputError(
                "prompts.masks needs a model with a ControlNet, as train.controlnet makes one: "
                "this one has none"
            )
        dataset = open_dataset(source.folder)
        self._split = dataset.split(source.split)
        self.structures = source.structures or components.structures
        unknown = [name for name in self.structures if name not in components.structures]
        if unknown:
            raise InputError(
                f"the model's ControlNet does not know {', '.join(unknown)}; it knows: "
                f"{', '.join(components.structures)}"
            )
        size = (dataset.manifest.get("preparation") or {}).get("size")
        self._size = components.image_size
        if size is not None and size != self._size:
            raise InputError(
                f"masks of {source.folder} are {size}x{size}, the model draws "
                f"{self._size}x{self._size}: prepare the dataset with that size"
            )
        self._transforms = source.transforms

    def masks(self, image: PlannedImage) -> Masks:
        """Bool [H, W] by structure, as planned; what its findings do not have is nowhere.

        Raises InputError for a mask that does not lie on its image, or where none is known.
        """
        assert image.mask_row is not None
        radiograph = self._split[image.mask_row]
        if radiograph.id != image.from_radiograph:
            raise InputError(
                f"the plan was made for another dataset: its row {image.mask_row} is "
                f"{radiograph.id!r}, not {image.from_radiograph!r}; plan anew"
            )
        masks = masks_of(radiograph, self.structures, self._size)
        if image.mask_seed is not None and self._transforms is not None:
            masks = transformed(masks, self._transforms, view=radiograph.view, seed=image.mask_seed)
        present = {n for n, s in states(image.findings).items() if s != "absent"}
        for name, mask in masks.items():
            if mask is not None and name in FINDING_OF and FINDING_OF[name] not in present:
                masks[name] = np.zeros_like(mask)
        if all(mask is None for mask in masks.values()):
            raise InputError(
                f"radiograph {radiograph.id!r} has no mask of {', '.join(self.structures)}: name "
                "others in prompts.masks.structures"
            )
        return masks
