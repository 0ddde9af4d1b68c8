"""Generator: from a model folder to radiographs, one at a time, without a file in between.

from roentgen import Generator

generator = Generator("runs/demo/finetune/model")
for radiograph in generator("cardiomegaly, small left effusion", views=("PA",), count=1000):
...  # radiograph.image is a PNG; radiograph.synthesis records how it was made
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import repeat, tee
from typing import Any

import torch

from roentgen.diffusion.backbones.model_folder import model_manifest
from roentgen.diffusion.backbones.stable_diffusion import load_components
from roentgen.diffusion.conditions.record_conditions import check_condition_fields
from roentgen.diffusion.sampling.sampler import Sampler
from roentgen.diffusion.sampling.settings import SamplerSettings
from roentgen.diffusion.training_record import trained_long_prompts, trained_style
from roentgen.errors import InputError, require
from roentgen.generation.image_conditions import ConditionSource, ImageConditions
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
from roentgen.prompts.token_lengths import TooLong
from roentgen.record.radiograph import Masks, Radiograph, Split, Synthesis, View


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
        record: Mapping[str, Any] | None = None,
    ) -> Iterator[Radiograph]:
        """`count` radiographs of each text of findings in each view, all of the same conditions.

        `masks` are bool [height, width] by structure; None or absent: nothing is known of it.
        `record` has fields of `Radiograph`, on which other conditions of the model depend. Raises
        InputError for words that the grammar does not know, texts that are too long, and conditions
        that the model does not take.
        """
        require(len(findings) > 0, "no findings are given: give at least one text")
        require(count > 0, f"count is {count}: at least 1")
        if views:
            check_view_in_style("views", self.style)
        planned = self.plan(self._rows(findings, views or (None,)), count=count)
        check_condition_fields(record or (), self.components)
        given = ImageConditions(masks=masks or {}, record=record or {})
        return self.draw(planned, repeat(given) if masks or record else None)

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
        self, images: Iterable[PlannedImage], given: Iterable[ImageConditions] | None = None
    ) -> Iterator[Radiograph]:
        """The radiographs of planned images, in order, `batch_size` drawn together.

        An image that is not finite is drawn again in float32 (`sampler.redrawn` has its seed);
        raises InputError, naming it, if it is not finite then.

        `given` are each image's conditions; by default they are those of the sources. Raises
        InputError for conditions that the model does not take.
        """
        images_to_draw, conditions, records = tee(self._with_conditions(images, given), 3)
        pixels = self.sampler.sample(
            (image for image, _, _ in images_to_draw),
            (own.tensors(record, self.components) for _, own, record in conditions),
        )
        for picture, (_, _, record) in zip(pixels, records, strict=False):  # may be endless
            assert record.synthesis is not None
            yield replace(record, image=encode_png(picture, record.synthesis.as_text()))

    def _with_conditions(
        self, images: Iterable[PlannedImage], given: Iterable[ImageConditions] | None
    ) -> Iterator[tuple[PlannedImage, ImageConditions, Radiograph]]:
        """Each image with its conditions besides the prompt and the record that it will have."""
        if given is not None:
            for image, own in zip(images, given, strict=False):  # may be endless
                own.check_findings(image)
                yield image, own, self._record(image, own)
            return
        for image in images:
            own = ImageConditions()
            for source in self._sources:
                own |= source.of(image, self.components)
            if image.mask_row is not None and not own.masks:
                raise InputError("the plan names masks: say where they are by prompts.masks")
            yield image, own, self._record(image, own)

    def _record(self, planned: PlannedImage, given: ImageConditions) -> Radiograph:
        """The radiograph of a planned image, but for its pixels."""
        settings = self.settings
        stated = ("view", "findings", "age", "sex", "race", "context")
        record = {name: getattr(planned, name) for name in stated} | given.radiograph_fields()
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
            **given.synthesis_fields(settings),
        )
        return Radiograph(
            id=planned.id,
            patient_id=planned.patient_id,
            study_id=planned.patient_id,
            split=self.split,
            image=b"",
            source="synthetic",
            license="; ".join(str(item["name"]) for item in self.licenses),
            synthesis=synthesis,
            **record,
        )
