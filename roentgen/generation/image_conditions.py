"""Conditions of single images besides their prompts, as models take and results record them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from roentgen.diffusion.components import Components
from roentgen.diffusion.conditions.conditions import Conditions
from roentgen.diffusion.conditions.controlnet import mask_conditions
from roentgen.diffusion.conditions.record_conditions import record_conditions
from roentgen.diffusion.sampling.settings import SamplerSettings
from roentgen.generation.planned_images import PlannedImage
from roentgen.imaging.images import encode_png
from roentgen.record.finding import states
from roentgen.record.radiograph import Masks, Radiograph, check_not_empty


@dataclass(frozen=True, kw_only=True)
class ImageConditions:
    """The conditions of one image besides its prompt; all are recorded with it."""

    masks: Masks = field(default_factory=dict)  # bool [H, W]; absent or None: nothing is known
    record: Mapping[str, Any] = field(default_factory=dict)  # fields of the drawn radiograph's

    def __or__(self, other: "ImageConditions") -> "ImageConditions":
        """These conditions and others of the same image, which take precedence."""
        return ImageConditions(
            masks={**self.masks, **other.masks}, record={**self.record, **other.record}
        )

    def check_findings(self, image: PlannedImage) -> None:
        """Raise InputError for an empty mask of what the image must have."""
        for name, mask in self.masks.items():
            if mask is not None:
                check_not_empty(mask, name, states(image.findings), f"the mask of {name!r}")

    def tensors(self, radiograph: Radiograph, components: Components) -> Conditions:
        """What the model is given, N = 1; `radiograph` is that to be drawn, with these fields.

        Raises InputError for masks that the model does not take.
        """
        given = record_conditions(radiograph, components)
        return given | mask_conditions(self.masks, components.structures) if self.masks else given

    def radiograph_fields(self) -> dict[str, Any]:
        """What the drawn radiograph records of them."""
        known = {name: mask for name, mask in self.masks.items() if mask is not None}
        pngs = {name: encode_png(255 * mask.astype(np.uint8)) for name, mask in known.items()}
        return {**self.record, "masks": pngs}

    def synthesis_fields(self, settings: SamplerSettings) -> dict[str, Any]:
        """What its synthesis records of them."""
        if not self.masks:
            return {}
        return {
            "conditioning_scale": settings.conditioning_scale,
            "conditioning_interval": settings.conditioning_interval,
        }


class ConditionSource(Protocol):
    """Gives planned images conditions, one image at a time as they are drawn."""

    def check(self, components: Components) -> None:
        """Raise InputError unless the model takes what the source gives."""

    def of(self, image: PlannedImage, components: Components) -> ImageConditions:
        """The conditions of an image. Raises InputError if they cannot be read."""
