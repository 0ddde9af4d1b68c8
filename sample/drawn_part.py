"""Drawn part: the record of a part of generated images, with those redrawn in float32."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from roentgen.dataset.work_folder import Part
from roentgen.diffusion.sampling.sampler import Sampler, SamplerSettings
from roentgen.generation.planned_images import PlannedImage

_NAMED = 5  # images in a note; all are in the manifest


@dataclass(frozen=True, kw_only=True)
class DrawnPart(Part):
    """The record of a finished part of a synthetic set."""

    redrawn: tuple[str, ...] = ()  # ids of images that were not finite, and drawn in float32

    def to_json(self) -> dict[str, Any]:
        """Plain values that JSON holds."""
        return super().to_json() | {"redrawn": list(self.redrawn)}

    @classmethod
    def values(cls, plain: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of a record."""
        return super().values(plain) | {"redrawn": tuple(plain["redrawn"])}


def redrawn_among(images: Iterable[PlannedImage], sampler: Sampler) -> tuple[str, ...]:
    """The ids of the images that this sampler drew again in float32."""
    again = set(sampler.redrawn)
    return tuple(image.id for image in images if image.seed in again)


def redrawn_note(redrawn: Sequence[str], settings: SamplerSettings) -> str:
    """The note on images that were drawn again, by their ids."""
    more = " ... (all in the manifest)" if len(redrawn) > _NAMED else ""
    return (
        f"{len(redrawn)} images were not finite in {settings.dtype} and were drawn again in "
        f"float32: {', '.join(redrawn[:_NAMED])}{more}"
    )
