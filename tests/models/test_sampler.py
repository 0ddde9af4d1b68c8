from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler

from roentgen.data.images import from_tensor
from roentgen.errors import InputError
from roentgen.models.conditioning import encode_prompts
from roentgen.models.sampler import (
    SCHEDULERS,
    Sampler,
    SamplerSettings,
    SchedulerName,
    check_prompts,
    make_scheduler,
)
from roentgen.models.stable_diffusion import Parts, add_view_tokens, pipeline_of

# diffusers' DPM-Solver++ hands a tensor to np.array.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)


@dataclass(frozen=True)
class Image:
    prompt: str
    negative_prompt: str | None
    seed: int


IMAGES = [
    Image("<view-pa> cardiomegaly", None, 1),
    Image("<view-ap> small left pleural effusion", None, 2),
    Image("<view-ap> small left pleural effusion", "edema", 3),
    Image("<view-lateral> no acute findings", None, 4),
    Image("<view-pa> cardiomegaly", None, 5),
]
SETTINGS = SamplerSettings(steps=6, guidance_scale=4.0, batch_size=4, device="cpu")
MakeParts = Callable[[str], Parts]


@pytest.fixture(scope="module")
def make_parts(make_small_parts: Callable[..., Parts]) -> MakeParts:
    """Small parts whose conditioning and pictures differ clearly."""

    def make(prediction_type: str) -> Parts:
        parts = make_small_parts(prediction_type=prediction_type)
        with torch.no_grad():
            parts.text_encoder.get_input_embeddings().weight.mul_(50)
            parts.vae.decoder.conv_out.weight.mul_(5)
        add_view_tokens(parts.tokenizer, parts.text_encoder)
        return parts

    return make


def drawn(parts: Parts, settings: SamplerSettings, images: Sequence[Image] = IMAGES) -> np.ndarray:
    return np.stack(list(Sampler(parts, settings).sample(images)))


def difference(a: np.ndarray, b: np.ndarray) -> int:
    return int(np.abs(a.astype(int) - b.astype(int)).max())


def by_diffusers(
    parts: Parts, name: SchedulerName, steps: int, scale: float, image: Image
) -> np.ndarray:
    """The same picture by diffusers' own pipeline."""
    pipeline = pipeline_of(parts)
    pipeline.scheduler = make_scheduler(name, parts.scheduler)
    pipeline.set_progress_bar_config(disable=True)
    output = pipeline(
        image.prompt,
        negative_prompt=image.negative_prompt,
        num_inference_steps=steps,
        guidance_scale=scale,
        generator=torch.Generator().manual_seed(image.seed),
        output_type="pt",  # [1, 3, height, width] in [0, 1]
    )
    return from_tensor(output.images[0] * 2 - 1)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("name", list(SCHEDULERS))
def test_the_pictures_are_those_of_diffusers_own_pipeline(
    make_parts: MakeParts, name: SchedulerName, prediction_type: str
) -> None:
    parts = make_parts(prediction_type)
    for scale, images in ((4.0, IMAGES[:3]), (1.0, IMAGES[:1])):
        settings = replace(SETTINGS, scheduler=name, guidance_scale=scale)
        ours = drawn(parts, settings, images)
        assert ours.dtype == np.uint8
        assert ours.shape == (len(images), 32, 32)
        assert ours.std() > 5  # a picture, not a flat field on which all would agree
        for picture, image in zip(ours, images, strict=True):
            assert difference(picture, by_diffusers(parts, name, 6, scale, image)) <= 1


@pytest.mark.parametrize("name", list(SCHEDULERS))
def test_the_batch_does_not_matter(make_parts: MakeParts, name: SchedulerName) -> None:
    parts = make_parts("epsilon")
    settings = replace(SETTINGS, scheduler=name)
    together = drawn(parts, settings)
    alone = drawn(parts, replace(settings, batch_size=1, decode_batch_size=1))
    assert difference(together, alone) <= 1
    assert difference(together[3:], drawn(parts, settings, IMAGES[3:])) <= 1
    again = drawn(parts, settings)
    assert difference(together, again) == 0


def test_seed_prompt_and_guidance_each_change_the_picture(make_parts: MakeParts) -> None:
    parts = make_parts("epsilon")
    image = IMAGES[0]
    (first,) = drawn(parts, SETTINGS, [image])
    for other in (replace(image, seed=9), replace(image, prompt="edema")):
        assert difference(first, drawn(parts, SETTINGS, [other])[0]) > 1
    stronger = replace(SETTINGS, guidance_scale=8.0)
    assert difference(first, drawn(parts, stronger, [image])[0]) > 1


def test_a_prompt_is_encoded_once(make_parts: MakeParts, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[str] = []

    def spy(parts: Parts, prompts: list[str], **options: Any) -> torch.Tensor:
        encoded.extend(prompts)
        return encode_prompts(parts, prompts, **options)

    monkeypatch.setattr("roentgen.models.sampler.encode_prompts", spy)
    images = [replace(IMAGES[i % 2], seed=i) for i in range(6)]
    drawn(make_parts("epsilon"), replace(SETTINGS, batch_size=2, steps=2), images)
    assert sorted(encoded) == sorted({"", *(image.prompt for image in images)})


def test_embeddings_are_let_go(make_parts: MakeParts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roentgen.models.sampler._KEPT_PROMPTS", 3)
    sampler = Sampler(make_parts("epsilon"), replace(SETTINGS, batch_size=2, steps=2))
    for _ in sampler.sample([Image(f"nodule {i}", None, i) for i in range(8)]):
        assert len(sampler._embeddings) <= 3


def test_schedulers_are_refused_in_one_line(make_parts: MakeParts) -> None:
    trained = make_parts("epsilon").scheduler
    with pytest.raises(InputError, match=r"unknown scheduler 'Euler'.*PNDM, DDIM, DPM-Solver\+\+"):
        make_scheduler("Euler", trained)  # type: ignore[arg-type]
    parts = make_parts("v_prediction")
    parts.scheduler = DDIMScheduler.from_config(trained.config, rescale_betas_zero_snr=True)
    with pytest.raises(InputError, match="PNDM cannot start from zero signal"):
        Sampler(parts, replace(SETTINGS, scheduler="PNDM"))
    with pytest.raises(InputError, match="1000 levels of noise"):
        Sampler(make_parts("epsilon"), replace(SETTINGS, steps=1000))


def test_a_prompt_too_long_is_named_by_id_and_not_quoted(make_parts: MakeParts) -> None:
    parts = make_parts("epsilon")
    long = Image("secret " * 100, None, 1)
    with pytest.raises(InputError, match=r"prompt of two has 102 tokens .* takes 77") as caught:
        check_prompts(parts, [IMAGES[0], long], ["one", "two"])
    assert "secret" not in str(caught.value)
    with pytest.raises(InputError, match="prompt of negative_prompt has 102 tokens"):
        check_prompts(parts, [replace(IMAGES[0], negative_prompt=long.prompt)], ["one"])
    check_prompts(parts, [replace(IMAGES[0], prompt="mass " * 75)], ["fits"])
