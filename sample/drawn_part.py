"""Drawn part: the record of a part of generated images, with the images that need a note."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from roentgen.dataset.work_folder import Part
from roentgen.diffusion.sampling.sampler import Sampler
from roentgen.diffusion.sampling.settings import SamplerSettings
from roentgen.generation.planned_images import PlannedImage

_NAMED = 5  # images in a note; all are in the manifest


@dataclass(frozen=True, kw_only=True)
class DrawnPart(Part):
    """The record of a finished part of a synthetic set."""

    redrawn: tuple[str, ...] = ()  # ids of images that were not finite, and drawn in float32
    constant: tuple[str, ...] = ()  # ids of images of one gray level

    def to_json(self) -> dict[str, Any]:
        """Plain values that JSON holds."""
        return super().to_json() | {
            "redrawn": list(self.redrawn),
            "constant": list(self.constant),
        }

    @classmethod
    def values(cls, plain: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of a record."""
        return super().values(plain) | {
            "redrawn": tuple(plain["redrawn"]),
            "constant": tuple(plain["constant"]),
        }


def noted_among(images: Sequence[PlannedImage], sampler: Sampler) -> dict[str, tuple[str, ...]]:
    """The ids of the images that this sampler drew again in float32, and of constant ones.

    By the fields of `DrawnPart`.
    """

    def ids(seeds: Iterable[int]) -> tuple[str, ...]:
        noted = set(seeds)
        return tuple(image.id for image in images if image.seed in noted)

    return {"redrawn": ids(sampler.redrawn), "constant": ids(sampler.constant)}


def noted_images(
    parts: Sequence[DrawnPart], settings: SamplerSettings
) -> tuple[dict[str, list[str]], list[str]]:
    """The ids of the parts' images that need a note, for the manifest, and the notes."""
    redrawn = [name for part in parts for name in part.redrawn]
    constant = [name for part in parts for name in part.constant]
    notes = []
    if redrawn:
        notes.append(
            f"{len(redrawn)} images were not finite in {settings.dtype} and were drawn again in "
            f"float32: {_some(redrawn)}"
        )
    if constant:
        notes.append(
            f"{len(constant)} images are black or of one gray level, as damaged models draw them: "
            f"{_some(constant)}"
        )
    return {"redrawn": redrawn, "constant": constant}, notes


def _some(names: Sequence[str]) -> str:
    more = " ... (all in the manifest)" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
