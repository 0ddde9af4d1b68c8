"""Sampling beside diffusers' own pipeline called in a loop, on the tiny base.

Both draw the same prompts from the same seeds in batches of the same size, in float32; rounds take
turns, so that a busy machine is so for both, and medians are compared.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from roentgen.diffusion.backbones.stable_diffusion import load_components, pipeline_of
from roentgen.diffusion.sampling.sampler import Sampler
from roentgen.diffusion.sampling.schedulers import make_scheduler
from roentgen.diffusion.sampling.settings import SamplerSettings
from roentgen.imaging.images import from_tensor

# diffusers' DPM-Solver++ hands a tensor to np.array.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

ROUNDS, BATCH = 5, 16
PUBLISHED = SamplerSettings(scheduler="PNDM", steps=75, guidance_scale=3.0, batch_size=BATCH)


@dataclass(frozen=True)
class Image:
    prompt: str
    seed: int
    negative_prompt: str | None = None


IMAGES = [
    Image(prompt, 4 * number + copy)
    for number, prompt in enumerate(
        ["normal chest", "big heart", "white water level on the left", "seen from the side"]
    )
    for copy in range(4)
]


class Pipeline:
    """diffusers' StableDiffusionPipeline, as it comes, drawing a batch a call."""

    def __init__(self, settings: SamplerSettings) -> None:
        components = load_components("tiny")
        self.pipeline = pipeline_of(components)
        self.pipeline.scheduler = make_scheduler(settings.scheduler, components.scheduler)
        self.pipeline.set_progress_bar_config(disable=True)
        self.settings = settings
        self.unet = components.unet

    def __call__(self) -> np.ndarray:
        """uint8 [N, height, width]."""
        images = self.pipeline(
            [image.prompt for image in IMAGES],
            num_inference_steps=self.settings.steps,
            guidance_scale=self.settings.guidance_scale,
            generator=[torch.Generator().manual_seed(image.seed) for image in IMAGES],
            output_type="pt",
        ).images
        return from_tensor(images * 2 - 1)


class Ours:
    """The sampler."""

    def __init__(self, settings: SamplerSettings) -> None:
        self.sampler = Sampler(load_components("tiny"), settings, "cpu")
        self.unet = self.sampler.components.unet

    def __call__(self) -> np.ndarray:
        """uint8 [N, height, width]."""
        return np.stack(list(self.sampler.sample(IMAGES)))


def evaluations(drawing: Pipeline | Ours) -> float:
    """Single evaluations of the UNet an image, counted at the UNet."""
    seen: list[int] = []

    def count(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        seen.append(len(args[0] if args else kwargs["sample"]))

    hook = drawing.unet.register_forward_pre_hook(count, with_kwargs=True)
    drawing()
    hook.remove()
    return sum(seen) / len(IMAGES)


def medians(*works: Callable[[], Any], rounds: int) -> list[float]:
    """Seconds of each; they take turns."""
    taken: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for work, seconds in zip(works, taken, strict=True):
            started = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - started)
    return [statistics.median(seconds) for seconds in taken]


@pytest.mark.slow
def test_images_a_second_at_equal_settings() -> None:
    settings = replace(PUBLISHED, scheduler="DPM-Solver++", steps=15)
    theirs, ours = Pipeline(settings), Ours(settings)
    assert np.abs(theirs().astype(int) - ours()).max() <= 1  # and both are warm now
    assert evaluations(theirs) == evaluations(ours)
    plain, quick = medians(theirs, ours, rounds=ROUNDS)
    print(f"equal settings: {BATCH / plain:.2f} and {BATCH / quick:.2f} images/s")
    assert plain >= quick


@pytest.mark.slow
def test_defaults_against_the_published_setting() -> None:
    theirs, ours = Pipeline(PUBLISHED), Ours(SamplerSettings(batch_size=BATCH))
    work = evaluations(theirs), evaluations(ours)
    assert work[0] == 2 * 76
    assert work[1] <= work[0] / 5
    plain, quick = medians(theirs, ours, rounds=3)
    print(f"evaluations {work}; {BATCH / plain:.2f} and {BATCH / quick:.2f} images/s")
    assert plain >= 4 * quick
