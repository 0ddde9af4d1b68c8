"""From a model folder to radiographs, one after the other, without a file between.

from sample.generator import Generator

    generator = Generator("runs/demo/finetune/model")
    for radiograph in generator("cardiomegaly, small left effusion", views=("PA",), count=1000):
        ...  # radiograph.image is a PNG, radiograph.synthesis tells how it was made
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, repeat
from typing import Any

import numpy as np
import torch
from torch import Tensor

from roentgen.diffusion.backbones.stable_diffusion import load_components
from roentgen.diffusion.components import Components
from roentgen.diffusion.conditions.controlnet import conditioning
from roentgen.diffusion.conditions.prompt_encoding import TooLong, token_counts, token_limit
from roentgen.diffusion.sampling.sampler import Sampler, SamplerSettings
from roentgen.diffusion.training_record import model_manifest, trained_long_prompts, trained_style
from roentgen.errors import InputError
from roentgen.generation.planned_images import PlannedImage
from roentgen.imaging.images import encode_png
from roentgen.manifest import inherit_licenses
from roentgen.prompts.grammar import PromptStyle
from roentgen.record.findings import states
from roentgen.record.radiograph import Radiograph, Split, Synthesis
from roentgen.record.structures import Masks, check_not_empty
from roentgen.record.views import VIEW_TOKENS, View
from sample.mask_source import MaskSource
from sample.plan import plan_images
from sample.prompts.config import MaskPrompts, PromptsConfig


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
        masks: MaskPrompts | None = None,
    ) -> None:
        """A model folder, a repository id, or "tiny"; what is None is as the model was trained.

        `licenses` are terms to carry beside the model's own; `masks` is where those of planned
        images come from. Raises InputError for a model that cannot be used.
        """
        self.model = model_manifest(model)
        self.settings = sampler or SamplerSettings()
        self.style = style or trained_style(self.model)
        self.long_prompts = long_prompts or trained_long_prompts(self.model)
        self.seed, self.split = seed, split
        self.components = load_components(model)
        self.licenses = inherit_licenses(self.model, {"licenses": licenses})
        self._masks = MaskSource(masks, self.components) if masks else None
        self._device = device
        self._sampler: Sampler | None = None

    @property
    def sampler(self) -> Sampler:
        """Made when it is first asked for: a plan needs none."""
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
        the model cannot take.
        """
        planned = self.plan(PromptsConfig(findings=findings, views=views, count=count))
        return self.draw(planned, None if masks is None else repeat(masks))

    def plan(self, prompts: PromptsConfig) -> Iterator[PlannedImage]:
        """The images that prompts ask for; raises InputError for those that cannot be used."""
        check = PromptCheck(self.components, self.long_prompts)
        return check(plan_images(prompts, self.style, self.settings, self.seed))

    def draw(
        self, images: Iterable[PlannedImage], masks: Iterable[Masks] | None = None
    ) -> Iterator[Radiograph]:
        """The radiographs of planned images, in order, `batch_size` drawn together.

        `masks` are those to show for each; else those that the plan names. Raises InputError for
        masks that the model cannot take.
        """
        shown = self._shown(images, masks)
        first = next(shown, None)
        if first is None:
            return
        planned: deque[tuple[PlannedImage, Masks | None]] = deque()
        conditions: deque[Tensor] = deque()
        structures = self.components.structures

        def remembered() -> Iterator[PlannedImage]:
            for image, given in chain([first], shown):
                planned.append((image, given))
                if given is not None:
                    conditions.append(conditioning(given, structures))
                yield image

        def told() -> Iterator[Tensor]:
            while True:
                yield conditions.popleft()

        masked = first[1] is not None
        for pixels in self.sampler.sample(remembered(), told() if masked else None):
            yield self.radiograph(*planned.popleft(), pixels)

    def _shown(
        self, images: Iterable[PlannedImage], masks: Iterable[Masks] | None
    ) -> Iterator[tuple[PlannedImage, Masks | None]]:
        """Each image with its masks."""
        if masks is not None:
            for image, given in zip(images, masks, strict=False):  # which may go on for ever
                for name, mask in given.items():
                    if mask is not None:
                        where = f"the mask of {name!r}"
                        check_not_empty(mask, name, states(image.findings), where)
                yield image, given
            return
        for image in images:
            if image.mask_row is None:
                yield image, None
            elif self._masks is None:
                raise InputError("the plan names masks: say where they are by prompts.masks")
            else:
                yield image, self._masks.masks(image)

    def radiograph(
        self, planned: PlannedImage, masks: Masks | None, pixels: np.ndarray
    ) -> Radiograph:
        """The radiograph of a planned image, `pixels` being uint8 [height, width]."""
        settings = self.settings
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
            conditioning_scale=settings.conditioning_scale if masks else None,
            conditioning_interval=settings.conditioning_interval if masks else None,
            mask_seed=planned.mask_seed,
        )
        return Radiograph(
            id=planned.id,
            patient_id=planned.patient_id,
            study_id=planned.patient_id,
            split=self.split,
            image=encode_png(pixels, synthesis.as_text()),
            masks={
                name: encode_png(255 * mask.astype(np.uint8))
                for name, mask in (masks or {}).items()
                if mask is not None
            },
            view=planned.view,
            findings=planned.findings,
            age=planned.age,
            sex=planned.sex,
            race=planned.race,
            source="synthetic",
            license="; ".join(str(item["name"]) for item in self.licenses),
            synthesis=synthesis,
        )


_WORDS = 100_000  # whose tokens are remembered: most texts are made of few


class PromptCheck:
    """Looks at every prompt of a plan on its way, whether the model reads it whole."""

    def __init__(self, components: Components, too_long: TooLong) -> None:
        self._tokenizer = components.tokenizer
        self._limit = token_limit(components.tokenizer, components.prompt_chunks)
        self._refuse = too_long == "refuse"
        vocabulary = components.tokenizer.get_vocab()
        self._unknown = [token for token in VIEW_TOKENS.values() if token not in vocabulary]
        self._looked = self._cut = 0
        self._not_read: set[str] = set()
        (self._frame,) = token_counts(components.tokenizer, [""])
        self._tokens = lru_cache(_WORDS)(self._count)

    def __call__(self, images: Iterable[PlannedImage]) -> Iterator[PlannedImage]:
        """The images as they come.

        Raises InputError naming the first whose prompt is too long, unless such are cut.
        """
        last = negative = None
        for image in images:
            if image.prompt is not last:
                self._look(image.prompt, image.id)
                last = image.prompt
            if image.negative_prompt is not None and image.negative_prompt is not negative:
                self._look(image.negative_prompt, "negative_prompt")
                negative = image.negative_prompt
            yield image

    def _look(self, text: str, name: str) -> None:
        self._looked += 1
        self._not_read.update(token for token in self._unknown if token in text)
        if len(text.encode()) + 3 <= self._limit:  # a token is a byte at least; begin, word, end
            return
        words = sum(map(self._tokens, text.split()))  # together they take no more
        if words + self._frame <= self._limit:
            return
        (count,) = token_counts(self._tokenizer, [text])
        if count <= self._limit:
            return
        self._cut += 1
        if self._refuse:
            raise InputError(
                f"the prompt of {name} has {count} tokens and the text encoder takes "
                f"{self._limit}: shorten it, tell less by `style`, or set long_prompts: truncate"
            )

    def _count(self, word: str) -> int:
        (count,) = token_counts(self._tokenizer, [word])
        return count - self._frame

    def notes(self, model: str) -> list[str]:
        """What is to be known of how the model reads the prompts, a line each."""
        notes = []
        if self._not_read:
            notes.append(
                f"the tokenizer of {model} does not know {', '.join(sorted(self._not_read))}: it "
                "reads them as ordinary characters, so the view is hardly told"
            )
        if self._cut:
            notes.append(f"{self._cut} of {self._looked} prompts were cut to {self._limit} tokens")
        return notes
