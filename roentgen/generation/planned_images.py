"""Planned images: prompt rows as images to generate, each with its own identity and seeds."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from roentgen.diffusion.sampling.settings import SamplerSettings
from roentgen.errors import InputError
from roentgen.generation.prompt_rows import PromptRow
from roentgen.randomness import derive_seed
from roentgen.record.context import ContextValue
from roentgen.record.finding import Finding
from roentgen.record.radiograph import Sex, View


@dataclass(frozen=True, kw_only=True)
class PlannedImage:
    """One image to generate; `seed` is that of its noise."""

    id: str
    patient_id: str
    prompt: str
    negative_prompt: str | None
    seed: int
    guidance_scale: float
    scheduler: str
    steps: int
    view: View | None
    findings: tuple[Finding, ...]
    age: float | None
    sex: Sex | None
    race: str | None
    from_radiograph: str | None
    from_patient: str | None
    mask_row: int | None = None  # of `from_radiograph` in the split that masks are taken from
    context: tuple[ContextValue, ...] = ()  # words of the prompt, yes or no; of no real patient
    others: tuple[str, ...] = ()  # findings of the hierarchy beyond the 14 names: "emphysema"
    mask_seed: int | None = None  # of the transforms of its masks; None: masks are not transformed


def images_from_rows(
    rows: Iterable[PromptRow],
    sampler: SamplerSettings,
    seed: int,
    *,
    count: int = 1,
    negative_prompt: str | None = None,
) -> Iterator[PlannedImage]:
    """The images of prompt rows, those of one prompt next to each other.

    `count` is the number of images of a row without one. Seeds and ids depend on the prompt without
    its context (and on the radiograph it was made from, or on how many equal prompts precede it),
    not on its place: adding a prompt changes no other image, and the same prompt in another context
    has the same noise. Raises InputError where no row gives an image.
    """
    seen: Counter[int] = Counter()
    empty = True
    for row in rows:
        text = row.prompt if row.seed_prompt is None else row.seed_prompt
        key = (text, row.from_radiograph or "")
        key_hash = hash(key)  # in place of the text, of which there are many
        identity = (*key, seen[key_hash])
        seen[key_hash] += 1
        patient = f"synthetic-{derive_seed(seed, 'patient', *identity):016x}"
        for number in range(count if row.count is None else row.count):
            empty = False
            masked = row.mask_row is not None
            yield PlannedImage(
                id=f"{patient}-{number:04d}",
                patient_id=patient,
                prompt=row.prompt,
                negative_prompt=negative_prompt,
                seed=derive_seed(seed, "noise", *identity, number),
                guidance_scale=sampler.guidance_scale,
                scheduler=sampler.scheduler,
                steps=sampler.steps,
                view=row.view,
                findings=row.findings,
                others=row.others,
                age=row.age,
                sex=row.sex,
                race=row.race,
                context=row.context,
                from_radiograph=row.from_radiograph,
                from_patient=row.from_patient,
                mask_row=row.mask_row,
                mask_seed=derive_seed(seed, "mask", *identity, number) if masked else None,
            )
    if empty:
        raise InputError("the prompts give no image: every count is 0")
