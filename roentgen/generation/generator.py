"""Generator: from a model folder to radiographs, one at a time, without a file in between.

from roentgen import Generator

generator = Generator("runs/demo/finetune/model")
for radiograph in generator("cardiomegaly, small left effusion", views=("PA",), count=1000):
...  # radiograph.image is a PNG; radiograph.synthesis records how it was made
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat, tee
from typing import Any

import numpy as np
import torch

from roentgen.diffusion.backbones.stable_diffusion import load_components
from roentgen.diffusion.conditions.prompt_encoding import TooLong
from roentgen.diffusion.sampling.sampler import Sampler, SamplerSettings
from roentgen.diffusion.training_record import model_manifest, trained_long_prompts, trained_style
from roentgen.errors import InputError, require
from roentgen.generation.image_conditions import (
    ConditionSource,
    ImageCondition,
    ImageMasks,
    merged,
)
from roentgen.generation.planned_images import PlannedImage, images_from_rows
from roentgen.generation.prompt_check import PromptCheck
from roentgen.generation.prompt_rows import (
    PromptRow,
    Views,
    check_view_in_style,
    rows_from_findings,
)
from roentgen.imaging.images import encode_png
from roentgen.manifest import inherit_licenses
from roentgen.prompts.grammar import PromptStyle
from roentgen.record.radiograph import Radiograph, Split, Synthesis, View
from roentgen.record.structures import Masks


class Generator:
    """Draws radiographs with a model; memory does not grow with their number."""

    def __init__(
        self,
        model: str,
        sampler: SamplerSettings | None = None,
        *,
        style: PromptStyle | None = None,
        long_prompts: TooLong | None = None,
        seed: int = 0,
        split: Split = "train",
        device: torch.device | str | None = None,
        licenses: Sequence[dict[str, Any]] = (),
        sources: Sequence[ConditionSource] = (),
    ) -> None:
        """A model folder, a repository id, or "tiny"; what is None is as the model was trained.

        `licenses` are terms that apply in addition to the model's own; `sources` give the
        conditions of planned images besides their prompts. Raises InputError for a model that
        cannot be used, or that does not take these conditions.
        """
        self.model = model_manifest(model)
        self.settings = sampler or SamplerSettings()
        self.style = style or trained_style(self.model)
        self.long_prompts = long_prompts or trained_long_prompts(self.model)
        self.seed, self.split = seed, split
        self.components = load_components(model)
        self.licenses = inherit_licenses(self.model, {"licenses": licenses})
        for source in sources:
            source.check(self.components)
        self._sources = sources
        self._device = device
        self._sampler: Sampler | None = None

    @property
    def sampler(self) -> Sampler:
        """The sampler, made at its first use: a plan needs none."""
        if self._sampler is None:
            self._sampler = Sampler(self.components, self.settings, self._device)
        return self._sampler

    def __call__(
        self,
        *findings: str,
        views: tuple[View, ...] = (),
        count: int = 1,
        masks: Masks | None = None,
    ) -> Iterator[Radiograph]:
        """`count` radiographs of each text of findings in each view, all drawn to the same masks.

        These are bool [height, width] by structure; None or absent: nothing is known of it. Raises
        InputError for words that the grammar does not know, texts that are too long, and masks that
        the model does not take.
        """
        require(len(findings) > 0, "no findings are given: give at least one text")
        require(count > 0, f"count is {count}: at least 1")
        if views:
            check_view_in_style("views", self.style)
        planned = self.plan(self._rows(findings, views or (None,)), count=count)
        return self.draw(planned, None if masks is None else repeat(ImageMasks(masks)))

    def _rows(self, findings: Sequence[str], views: Views) -> Iterator[PromptRow]:
        for number, text in enumerate(findings):
            yield from rows_from_findings(text, self.style, views, f"findings[{number}]")

    def plan(
        self, rows: Iterable[PromptRow], *, count: int = 1, negative_prompt: str | None = None
    ) -> Iterator[PlannedImage]:
        """The images of prompt rows, `count` of each that has no count of its own.

        Raises InputError for a prompt that is too long.
        """
        return self.checked(
            images_from_rows(
                rows, self.settings, self.seed, count=count, negative_prompt=negative_prompt
            )
        )

    def checked(self, images: Iterable[PlannedImage]) -> Iterator[PlannedImage]:
        """The images as they come. Raises InputError for a prompt that is too long."""
        return PromptCheck(self.components, self.long_prompts)(images)

    def draw(
        self, images: Iterable[PlannedImage], masks: Iterable[ImageMasks] | None = None
    ) -> Iterator[Radiograph]:
        """The radiographs of planned images, in order, `batch_size` drawn together.

        `masks` are each image's; by default its conditions are those of the sources. Raises
        InputError for conditions that the model does not take.
        """
        images_to_draw, conditions, planned = tee(self._with_conditions(images, masks), 3)
        pixels = self.sampler.sample(
            (image for image, _ in images_to_draw),
            (merged(given, self.components) for _, given in conditions),
        )
        for picture, (image, given) in zip(pixels, planned, strict=False):  # may be endless
            yield self.radiograph(image, given, picture)

    def _with_conditions(
        self, images: Iterable[PlannedImage], masks: Iterable[ImageMasks] | None
    ) -> Iterator[tuple[PlannedImage, list[ImageCondition]]]:
        """Each image with its conditions besides the prompt."""
        if masks is not None:
            for image, of_image in zip(images, masks, strict=False):  # may be endless
                of_image.check_findings(image)
                yield image, [of_image]
            return
        for image in images:
            found = (source.of(image, self.components) for source in self._sources)
            given = [condition for condition in found if condition is not None]
            if image.mask_row is not None and not any(isinstance(c, ImageMasks) for c in given):
                raise InputError("the plan names masks: say where they are by prompts.masks")
            yield image, given

    def radiograph(
        self, planned: PlannedImage, given: Sequence[ImageCondition], pixels: np.ndarray
    ) -> Radiograph:
        """The radiograph of a planned image, `pixels` being uint8 [height, width]."""
        settings = self.settings
        of_synthesis: dict[str, Any] = {}
        of_radiograph: dict[str, Any] = {}
        for condition in given:
            of_synthesis |= condition.synthesis_fields(settings)
            of_radiograph |= condition.radiograph_fields()
        synthesis = Synthesis(
            prompt=planned.prompt,
            negative_prompt=planned.negative_prompt,
            seed=planned.seed,
            guidance_scale=planned.guidance_scale,
            steps=planned.steps,
            scheduler=planned.scheduler,
            model=self.model["fingerprint"],
            from_radiograph=planned.from_radiograph,
            from_patient=planned.from_patient,
            guidance_interval=settings.guidance_interval,
            guidance_rescale=settings.guidance_rescale,
            cache_interval=settings.cache_interval if settings.cache_interval > 1 else None,
            mask_seed=planned.mask_seed,
            **of_synthesis,
        )
        return Radiograph(
            id=planned.id,
            patient_id=planned.patient_id,
            study_id=planned.patient_id,
            split=self.split,
            image=encode_png(pixels, synthesis.as_text()),
            view=planned.view,
            findings=planned.findings,
            age=planned.age,
            sex=planned.sex,
            race=planned.race,
            source="synthetic",
            license="; ".join(str(item["name"]) for item in self.licenses),
            synthesis=synthesis,
            **of_radiograph,
        )
