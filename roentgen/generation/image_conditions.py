"""Conditions of single images besides their prompts, as models take and results record them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from roentgen.diffusion.components import Components
from roentgen.diffusion.conditions.conditions import Conditions
from roentgen.diffusion.conditions.controlnet import mask_conditions
from roentgen.diffusion.sampling.sampler import SamplerSettings
from roentgen.generation.planned_images import PlannedImage
from roentgen.imaging.images import encode_png
from roentgen.record.radiograph import states
from roentgen.record.structures import Masks, check_not_empty


class ImageCondition(Protocol):
    """One kind of condition of one image."""

    def conditions(self, components: Components) -> Conditions:
        """The tensors that the model takes, N = 1. Raises InputError if it does not take them."""

    def radiograph_fields(self) -> dict[str, Any]:
        """What the drawn radiograph records of the condition."""

    def synthesis_fields(self, settings: SamplerSettings) -> dict[str, Any]:
        """What its synthesis records of the condition."""


class ConditionSource(Protocol):
    """Gives planned images their conditions of one kind, one image at a time as they are drawn."""

    def check(self, components: Components) -> None:
        """Raise InputError unless the model takes what the source gives."""

    def of(self, image: PlannedImage, components: Components) -> ImageCondition | None:
        """The condition of an image; None: it has none. Raises InputError if it cannot be read."""


@dataclass(frozen=True)
class ImageMasks:
    """Masks of structures: bool [H, W] by name; None: nothing is known of the structure."""

    masks: Masks

    def check_findings(self, image: PlannedImage) -> None:
        """Raise InputError for an empty mask of what the image must have."""
        for name, mask in self.masks.items():
            if mask is not None:
                check_not_empty(mask, name, states(image.findings), f"the mask of {name!r}")

    def conditions(self, components: Components) -> Conditions:
        """See `ImageCondition`."""
        return mask_conditions(self.masks, components.structures)

    def radiograph_fields(self) -> dict[str, Any]:
        """See `ImageCondition`."""
        known = {name: mask for name, mask in self.masks.items() if mask is not None}
        pngs = {name: encode_png(255 * mask.astype(np.uint8)) for name, mask in known.items()}
        return {"masks": pngs}

    def synthesis_fields(self, settings: SamplerSettings) -> dict[str, Any]:
        """See `ImageCondition`."""
        return {
            "conditioning_scale": settings.conditioning_scale,
            "conditioning_interval": settings.conditioning_interval,
        }


def merged(parts: Iterable[ImageCondition], components: Components) -> Conditions:
    """All conditions of one image."""
    together = Conditions()
    for part in parts:
        together |= part.conditions(components)
    return together
