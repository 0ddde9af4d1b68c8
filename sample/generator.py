"""From a model folder to radiographs, one after the other, without a file between.

from sample.generator import Generator

generator = Generator("runs/demo/finetune/model")
for radiograph in generator("cardiomegaly, small left pleural effusion", views=("PA",), count=4):
...  # radiograph.image is a PNG, radiograph.synthesis tells how it was made
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from roentgen.data.images import encode_png
from roentgen.data.radiograph import Radiograph, Split, Synthesis
from roentgen.data.views import VIEW_TOKENS, View
from roentgen.errors import InputError
from roentgen.models.conditioning import TooLong, token_counts, token_limit
from roentgen.models.sampler import Sampler, SamplerSettings
from roentgen.models.stable_diffusion import Parts, load_parts
from roentgen.models.trained import model_manifest, trained_long_prompts, trained_style
from roentgen.runs import inherit_licenses
from roentgen.text.prompts import PromptStyle
from sample.config import PromptsConfig
from sample.plan import PlannedImage, plan_images


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
    ) -> None:
        """A model folder, a repository id, or "tiny"; what is None is as the model was trained.

        `licenses` are terms to carry beside the model's own. Raises InputError for a model that
        cannot be used.
        """
        self.model = model_manifest(model)
        self.settings = sampler or SamplerSettings()
        self.style = style or trained_style(self.model)
        self.long_prompts = long_prompts or trained_long_prompts(self.model)
        self.seed, self.split = seed, split
        self.parts = load_parts(model)
        self.licenses = inherit_licenses(self.model, {"licenses": licenses})
        self._device = device
        self._sampler: Sampler | None = None

    @property
    def sampler(self) -> Sampler:
        """Made when it is first asked for: a plan needs none."""
        if self._sampler is None:
            self._sampler = Sampler(self.parts, self.settings, self._device)
        return self._sampler

    def __call__(
        self, *findings: str, views: tuple[View, ...] = (), count: int = 1
    ) -> Iterator[Radiograph]:
        """`count` radiographs of each text of findings in each view.

        Raises InputError for words that the grammar does not know and texts that are too long.
        """
        return self.draw(self.plan(PromptsConfig(findings=findings, views=views, count=count)))

    def plan(self, prompts: PromptsConfig) -> Iterator[PlannedImage]:
        """The images that prompts ask for; raises InputError for those that cannot be used."""
        check = PromptCheck(self.parts, self.long_prompts)
        return check(plan_images(prompts, self.style, self.settings, self.seed))

    def draw(self, images: Iterable[PlannedImage]) -> Iterator[Radiograph]:
        """The radiographs of planned images, in order, `batch_size` drawn together."""
        planned: deque[PlannedImage] = deque()

        def remembered() -> Iterator[PlannedImage]:
            for image in images:
                planned.append(image)
                yield image

        for pixels in self.sampler.sample(remembered()):
            yield self.radiograph(planned.popleft(), pixels)

    def radiograph(self, planned: PlannedImage, pixels: np.ndarray) -> Radiograph:
        """The radiograph of a planned image, `pixels` being uint8 [height, width]."""
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
        )


class PromptCheck:
    """Looks at every prompt of a plan on its way, whether the model reads it whole."""

    def __init__(self, parts: Parts, too_long: TooLong) -> None:
        self._tokenizer = parts.tokenizer
        self._limit = token_limit(parts.tokenizer, parts.prompt_chunks)
        self._refuse = too_long == "refuse"
        vocabulary = parts.tokenizer.get_vocab()
        self._unknown = [token for token in VIEW_TOKENS.values() if token not in vocabulary]
        self._seen: set[int] = set()  # hashes: there may be millions of texts
        self._cut = 0
        self._not_read: set[str] = set()

    def __call__(self, images: Iterable[PlannedImage]) -> Iterator[PlannedImage]:
        """The images as they come.

        Raises InputError naming the first whose prompt is too long, unless such are cut.
        """
        last = None
        for image in images:
            if image.prompt is not last:
                self._look(image.prompt, image.id)
                last = image.prompt
                if image.negative_prompt is not None:
                    self._look(image.negative_prompt, "negative_prompt")
            yield image

    def _look(self, text: str, name: str) -> None:
        key = hash(text)
        if key in self._seen:
            return
        self._seen.add(key)
        self._not_read.update(token for token in self._unknown if token in text)
        if len(text.encode()) + 3 <= self._limit:  # a token is a byte at least; begin, word, end
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

    def notes(self, model: str) -> list[str]:
        """What is to be known of how the model reads the prompts, a line each."""
        notes = []
        if self._not_read:
            notes.append(
                f"the tokenizer of {model} does not know {', '.join(sorted(self._not_read))}: it "
                "reads them as ordinary characters, so the view is hardly told"
            )
        if self._cut:
            notes.append(
                f"{self._cut} of {len(self._seen)} prompts were cut to {self._limit} tokens"
            )
        return notes
