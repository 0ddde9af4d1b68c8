"""Prompt check: prompts of a plan that exceed the limit, or what the model was trained on."""

from collections.abc import Iterable, Iterator

from roentgen.diffusion.components import Components
from roentgen.diffusion.conditions.prompt_encoding import PromptLimit
from roentgen.generation.planned_images import PlannedImage
from roentgen.generation.training_scope import ScopeCheck
from roentgen.prompts.token_lengths import TooLong
from roentgen.record.radiograph import VIEW_TOKENS


class PromptCheck:
    """Checks every prompt of a plan as it passes: whether the model reads and knows all of it."""

    def __init__(
        self, components: Components, too_long: TooLong, scope: ScopeCheck | None = None
    ) -> None:
        self._limit = PromptLimit(components.tokenizer, components.prompt_chunks)
        self._refuse = too_long == "refuse"
        vocabulary = components.tokenizer.get_vocab()
        self._unknown = [token for token in VIEW_TOKENS.values() if token not in vocabulary]
        self._scope = scope
        self._checked = self._truncated = 0
        self._unknown_found: set[str] = set()

    def __call__(self, images: Iterable[PlannedImage]) -> Iterator[PlannedImage]:
        """The images as they come.

        Raises InputError naming the first whose prompt is too long, unless such are truncated.
        """
        last = patient = negative = None
        for image in images:
            if image.prompt is not last or image.patient_id != patient:
                self._check(image.prompt, image.id)
                if self._scope:
                    self._scope.add(image)
                last, patient = image.prompt, image.patient_id
            if image.negative_prompt is not None and image.negative_prompt is not negative:
                self._check(image.negative_prompt, "negative_prompt")
                negative = image.negative_prompt
            yield image

    def _check(self, prompt: str, name: str) -> None:
        self._checked += 1
        self._unknown_found.update(token for token in self._unknown if token in prompt)
        if not self._limit.is_exceeded(prompt):
            return
        self._truncated += 1
        if self._refuse:
            self._limit.check(
                [self._limit.count(prompt)],
                lambda _: name,
                "shorten it, let `style` include less, or set long_prompts: truncate",
            )

    def notes(self, model: str) -> list[str]:
        """Notes on how the model reads the prompts, and on what it was not trained on, by line."""
        notes = self._scope.notes(model) if self._scope else []
        if self._unknown_found:
            notes.append(
                f"the tokenizer of {model} does not know {', '.join(sorted(self._unknown_found))}: "
                "it reads them as ordinary characters, so the view hardly has an effect"
            )
        if self._truncated:
            notes.append(
                f"{self._truncated} of {self._checked} prompts were truncated to "
                f"{self._limit.tokens} tokens"
            )
        return notes
