import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from roentgen.diffusion.backbones.stable_diffusion import add_view_tokens, pipeline_of
from roentgen.diffusion.components import Components
from roentgen.diffusion.conditions.prompt_encoding import encode_prompts
from roentgen.diffusion.sampling.sampler import Sampler
from roentgen.diffusion.sampling.schedulers import SCHEDULERS, make_scheduler
from roentgen.diffusion.sampling.settings import SamplerSettings, SchedulerName
from roentgen.errors import InputError
from roentgen.imaging.images import from_tensor

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
SETTINGS = SamplerSettings(
    scheduler="DPM-Solver++", steps=6, guidance_scale=4.0, batch_size=4, device="cpu"
)
MakeComponents = Callable[[str], Components]


@pytest.fixture(scope="module")
def make_components(make_small_components: Callable[..., Components]) -> MakeComponents:
    """Small components whose conditioning and pictures differ clearly."""

    def make(prediction_type: str) -> Components:
        components = make_small_components(prediction_type=prediction_type)
        with torch.no_grad():
            components.text_encoder.get_input_embeddings().weight.mul_(50)
            components.vae.decoder.conv_out.weight.mul_(5)
        add_view_tokens(components.tokenizer, components.text_encoder)
        return components

    return make


def drawn(
    components: Components, settings: SamplerSettings, images: Sequence[Image] = IMAGES
) -> np.ndarray:
    return np.stack(list(Sampler(components, settings).sample(images)))


def difference(a: np.ndarray, b: np.ndarray) -> int:
    return int(np.abs(a.astype(int) - b.astype(int)).max())


def by_diffusers(
    components: Components,
    name: SchedulerName,
    steps: int,
    scale: float,
    image: Image,
    **options: Any,
) -> np.ndarray:
    """The same picture by diffusers' own pipeline."""
    pipeline = pipeline_of(components)
    pipeline.scheduler = make_scheduler(name, components.scheduler)
    pipeline.set_progress_bar_config(disable=True)
    output = pipeline(
        image.prompt,
        negative_prompt=image.negative_prompt,
        num_inference_steps=steps,
        guidance_scale=scale,
        generator=torch.Generator().manual_seed(image.seed),
        output_type="pt",  # [1, 3, height, width] in [0, 1]
        **options,
    )
    return from_tensor(output.images[0] * 2 - 1)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("name", list(SCHEDULERS))
def test_the_pictures_are_those_of_diffusers_own_pipeline(
    make_components: MakeComponents, name: SchedulerName, prediction_type: str
) -> None:
    components = make_components(prediction_type)
    for scale, images in ((4.0, IMAGES[:3]), (1.0, IMAGES[:1])):
        settings = replace(SETTINGS, scheduler=name, guidance_scale=scale)
        ours = drawn(components, settings, images)
        assert ours.dtype == np.uint8
        assert ours.shape == (len(images), 32, 32)
        assert ours.std() > 5  # a picture, not a flat field on which all would agree
        for picture, image in zip(ours, images, strict=True):
            assert difference(picture, by_diffusers(components, name, 6, scale, image)) <= 1


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_rescaled_guidance_is_that_of_diffusers(
    make_components: MakeComponents, prediction_type: str
) -> None:
    components = make_components(prediction_type)
    settings = replace(SETTINGS, guidance_scale=9.0, guidance_rescale=0.7)
    plain = drawn(components, replace(settings, guidance_rescale=None), IMAGES[:3])
    ours = drawn(components, settings, IMAGES[:3])
    assert difference(ours, plain) > 5
    for picture, image in zip(ours, IMAGES, strict=False):
        theirs = by_diffusers(components, "DPM-Solver++", 6, 9.0, image, guidance_rescale=0.7)
        assert difference(picture, theirs) <= 1


@pytest.mark.parametrize("name", ["DPM-Solver++", "PNDM"])
@pytest.mark.parametrize("guided", [(0, 3), (1, 4), (3, 99)])
def test_guidance_in_an_interval_is_that_of_diffusers_switched_by_hand(
    make_components: MakeComponents, name: SchedulerName, guided: tuple[int, int]
) -> None:
    """Steps from one number up to another are guided; the interval is told in noise levels."""
    components, (first, last) = make_components("epsilon"), guided
    scheduler = make_scheduler(name, components.scheduler)
    scheduler.set_timesteps(6)
    signal = scheduler.alphas_cumprod[scheduler.timesteps].double()
    sigmas = [*((1 - signal) / signal).sqrt().tolist(), 0.0]
    # Between the levels of two steps; PNDM takes its second step twice.
    steps = len(sigmas) - 1
    high = 1000.0 if first == 0 else np.sqrt(sigmas[first - 1] * sigmas[first])
    low = 0.0 if last >= steps else np.sqrt(sigmas[last - 1] * sigmas[last])
    told = encode_prompts(components, ["", IMAGES[0].prompt])

    def switch(pipeline: Any, step: int, _: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        now = first <= step + 1 < last
        pipeline._guidance_scale = 4.0 if now else 1.0
        return tensors | {"prompt_embeds": told if now else told[1:]}

    pipeline = pipeline_of(components)
    pipeline.scheduler = scheduler
    pipeline.set_progress_bar_config(disable=True)
    output = pipeline(
        prompt_embeds=told[1:],
        negative_prompt_embeds=told[:1] if first == 0 else None,
        num_inference_steps=6,
        guidance_scale=4.0 if first == 0 else 1.0,
        generator=torch.Generator().manual_seed(1),
        output_type="latent",
        callback_on_step_end=switch,
        callback_on_step_end_tensor_inputs=["prompt_embeds"],
    )
    settings = replace(SETTINGS, scheduler=name, guidance_interval=(float(low), float(high)))
    ours = Sampler(components, settings).latents(IMAGES[:1])
    assert torch.allclose(ours, output.images, atol=1e-4)
    everywhere = Sampler(components, replace(SETTINGS, scheduler=name)).latents(IMAGES[:1])
    assert not torch.allclose(ours, everywhere, atol=1e-2)


def test_an_interval_of_all_noise_is_none(make_components: MakeComponents) -> None:
    components = make_components("epsilon")
    whole = drawn(components, replace(SETTINGS, guidance_interval=(0.0, 1000.0)))
    assert difference(whole, drawn(components, SETTINGS)) == 0
    with pytest.raises(InputError, match=r"between 0\.\d+ and 14\.6: none would be guided"):
        Sampler(components, replace(SETTINGS, guidance_interval=(20.0, 30.0)))


def deep_cached(components: Components, steps: int, interval: int) -> torch.Tensor:
    """Latents with DeepCache's rule, written out, of the first image by DDIM, guidance 4."""
    unet, states = components.unet, encode_prompts(components, ["", IMAGES[0].prompt])
    scheduler = make_scheduler("DDIM", components.scheduler)
    scheduler.set_timesteps(steps)
    latents = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(1))
    deep: list[torch.Tensor] = []
    hook = unet.up_blocks[-2].register_forward_hook(lambda *call: deep.append(call[-1]))
    for step, timestep in enumerate(scheduler.timesteps):
        x = torch.cat([latents, latents])
        if step % interval == 0:
            predicted = unet(x, timestep, encoder_hidden_states=states).sample
        else:
            time = unet.time_embedding(unet.time_proj(timestep.expand(2)))
            x = unet.conv_in(x)
            _, skips = unet.down_blocks[0](x, time, encoder_hidden_states=states)
            last = unet.up_blocks[-1]
            skips = (x, *skips)[: len(last.resnets)]
            x = last(deep[-1], skips, temb=time, encoder_hidden_states=states)
            predicted = unet.conv_out(unet.conv_act(unet.conv_norm_out(x)))
        without, told = predicted.chunk(2)
        latents = scheduler.step(without + 4 * (told - without), timestep, latents).prev_sample
    hook.remove()
    return latents


@pytest.mark.parametrize("interval", [1, 2, 3])
def test_cached_steps_are_deep_cache_written_out(
    make_components: MakeComponents, interval: int
) -> None:
    components = make_components("epsilon")
    settings = replace(SETTINGS, scheduler="DDIM", steps=7)
    with torch.inference_mode():
        expected = deep_cached(components, 7, interval)
    sampler = Sampler(components, replace(settings, cache_interval=interval))
    ours = sampler.latents(IMAGES[:1])
    assert torch.allclose(ours, expected, atol=1e-4)
    plain = Sampler(components, settings).latents(IMAGES[:1])
    assert torch.allclose(ours, plain, atol=1e-4) == (interval == 1)


def test_the_unet_is_called_as_often_as_said_and_left_as_it_was(
    make_components: MakeComponents,
) -> None:
    components = make_components("epsilon")
    settings = replace(SETTINGS, guidance_interval=(0.3, 5.0), cache_interval=2)
    sampler = Sampler(components, settings)
    whole: list[int] = []
    deep: list[int] = []
    compute = components.unet.mid_block.forward

    def counting(x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        deep.append(len(x))
        result: torch.Tensor = compute(x, *args, **kwargs)
        return result

    components.unet.mid_block.forward = counting
    hook = components.unet.register_forward_pre_hook(lambda _, args: whole.append(len(args[0])))
    sampler.latents(IMAGES[:1])
    hook.remove()
    assert sum(whole) == sampler.evaluations
    assert whole == [1 + call.guided for call in sampler.calls]
    assert set(whole) == {1, 2}
    assert deep == [1 + call.guided for call in sampler.calls if not call.cached]
    assert len(deep) < len(whole)
    named = [name for name, module in components.unet.named_modules() if "forward" in vars(module)]
    assert named == ["mid_block"]


@pytest.mark.parametrize("name", list(SCHEDULERS))
def test_nothing_waits_for_the_device(make_components: MakeComponents, name: SchedulerName) -> None:
    """On the device "meta" a tensor has no values: whoever asks for one gets an error."""
    components = make_components("epsilon")
    settings = replace(
        SETTINGS,
        scheduler=name,
        guidance_interval=(0.3, 5.0),
        guidance_rescale=0.5,
        cache_interval=2,
    )
    sampler = Sampler(components, settings, "meta")
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        torch.zeros((), device="meta").item()
    latents = sampler.latents(IMAGES[:3])
    assert latents.is_meta
    assert latents.shape == (3, 4, 8, 8)


def test_images_are_asked_for_a_batch_at_a_time(make_components: MakeComponents) -> None:
    asked: list[Image] = []

    def endless() -> Iterator[Image]:
        while True:
            asked.append(replace(IMAGES[0], seed=len(asked)))
            yield asked[-1]

    pictures = Sampler(make_components("epsilon"), replace(SETTINGS, steps=2)).sample(endless())
    for count in (1, 2, 3, 4, 5):
        next(pictures)
        assert len(asked) == -(-count // SETTINGS.batch_size) * SETTINGS.batch_size


@pytest.mark.slow  # the compiler's start
def test_compiled_pictures_are_the_same(make_components: MakeComponents) -> None:
    components = make_components("epsilon")
    plain = drawn(components, SETTINGS)
    compiled = drawn(components, replace(SETTINGS, compile=True, cache_interval=1))
    assert difference(plain, compiled) <= 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"guidance_interval": (2.0, 1.0)}, r"guidance_interval is \[2, 1\]"),
        ({"guidance_interval": (-1.0, 1.0)}, "neither below 0 nor infinite"),
        ({"guidance_interval": (1.0, float("inf"))}, r"guidance_interval is \[1, inf\]"),
        ({"guidance_rescale": 1.5}, "guidance_rescale is 1.5: it must be above 0 and at most 1"),
        ({"guidance_scale": 1.0, "guidance_rescale": 0.5}, "no effect without guidance"),
        ({"guidance_scale": 1.0, "guidance_interval": (0.3, 5.0)}, "no effect without guidance"),
        ({"cache_interval": 0}, "cache_interval is 0: it must be at least 1"),
    ],
)
def test_impossible_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(SETTINGS, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        *({"scheduler": name} for name in SCHEDULERS),
        {"cache_interval": 2},
        {"guidance_interval": (0.3, 5.0), "guidance_rescale": 0.7, "cache_interval": 3},
    ],
)
def test_the_batch_does_not_matter(
    make_components: MakeComponents, changes: dict[str, Any]
) -> None:
    components = make_components("epsilon")
    settings = replace(SETTINGS, **changes)
    together = drawn(components, settings)
    alone = drawn(components, replace(settings, batch_size=1, decode_batch_size=1))
    assert difference(together, alone) <= 1
    assert difference(together[3:], drawn(components, settings, IMAGES[3:])) <= 1
    again = drawn(components, settings)
    assert difference(together, again) == 0


def test_seed_prompt_and_guidance_each_change_the_picture(make_components: MakeComponents) -> None:
    components = make_components("epsilon")
    image = IMAGES[0]
    (first,) = drawn(components, SETTINGS, [image])
    for other in (replace(image, seed=9), replace(image, prompt="edema")):
        assert difference(first, drawn(components, SETTINGS, [other])[0]) > 1
    stronger = replace(SETTINGS, guidance_scale=8.0)
    assert difference(first, drawn(components, stronger, [image])[0]) > 1


def test_a_prompt_is_encoded_once(
    make_components: MakeComponents, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[str] = []

    def spy(components: Components, prompts: list[str], **options: Any) -> torch.Tensor:
        encoded.extend(prompts)
        return encode_prompts(components, prompts, **options)

    monkeypatch.setattr("roentgen.diffusion.sampling.sampler.encode_prompts", spy)
    images = [replace(IMAGES[i % 2], seed=i) for i in range(6)]
    drawn(make_components("epsilon"), replace(SETTINGS, batch_size=2, steps=2), images)
    assert sorted(encoded) == sorted({"", *(image.prompt for image in images)})


def test_cached_states_are_limited(
    make_components: MakeComponents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("roentgen.diffusion.sampling.sampler._CACHED_PROMPTS", 3)
    sampler = Sampler(make_components("epsilon"), replace(SETTINGS, batch_size=2, steps=2))
    for _ in sampler.sample([Image(f"nodule {i}", None, i) for i in range(8)]):
        assert len(sampler._states) <= 3


def test_schedulers_are_refused_in_one_line(make_components: MakeComponents) -> None:
    trained = make_components("epsilon").scheduler
    with pytest.raises(InputError, match=r"unknown scheduler 'Euler'.*PNDM, DDIM, DPM-Solver\+\+"):
        make_scheduler("Euler", trained)  # type: ignore[arg-type]
    components = make_components("v_prediction")
    components.scheduler = DDIMScheduler.from_config(trained.config, rescale_betas_zero_snr=True)
    for name in ("PNDM", "DPM-Solver++ Karras", "UniPC Karras"):
        with pytest.raises(InputError, match=f"{re.escape(name)} cannot start from zero signal"):
            Sampler(components, replace(SETTINGS, scheduler=name))
    with pytest.raises(InputError, match="1000 levels of noise"):
        Sampler(make_components("epsilon"), replace(SETTINGS, steps=1000))


def overflowing(sampler: Sampler, net: torch.nn.Module, rows: Callable[[int], list[int]]) -> None:
    """Let a network's output be NaN in these rows of so many, but not in float32."""

    def spoil(_module: Any, _inputs: Any, output: Any) -> None:
        tensor = output[0] if isinstance(output, tuple) else output.last_hidden_state
        if sampler.dtype != torch.float32:
            tensor[rows(len(tensor))] = torch.nan

    net.register_forward_hook(spoil)


def in_float32(components: Components) -> np.ndarray:
    """Drawn in float32 with the weights of half precision."""
    for net in (components.unet, components.text_encoder):
        net.to(torch.bfloat16).float()
    return drawn(components, SETTINGS)


@pytest.mark.parametrize("network", ["unet", "text_encoder"])
def test_an_image_that_is_not_finite_is_drawn_again_and_the_others_stay_as_they_are(
    make_components: MakeComponents, network: str
) -> None:
    half = replace(SETTINGS, dtype="bfloat16", batch_size=3)
    images = IMAGES[:3]
    plain = drawn(make_components("epsilon"), half, images)
    expected = in_float32(make_components("epsilon"))
    sampler = Sampler(make_components("epsilon"), half)
    # UNet: the second image's halves; text encoder: the last of all new prompts, two images'.
    rows = {"unet": lambda n: [1, 4] if n == 6 else [], "text_encoder": lambda n: [n - 1]}[network]
    bad = [1] if network == "unet" else [1, 2]
    overflowing(sampler, getattr(sampler.components, network), rows)
    found = np.stack(list(sampler.sample(images)))
    assert sampler.redrawn == [images[k].seed for k in bad]
    for k in range(3):
        if k in bad:
            assert difference(found[k], expected[k]) <= 1
            assert found[k].std() > 1
        else:
            np.testing.assert_array_equal(found[k], plain[k])


def test_automatic_dtype_is_bfloat16_where_the_cpu_computes_it(
    make_components: MakeComponents, monkeypatch: pytest.MonkeyPatch
) -> None:
    for fast, dtype in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda fast=fast: fast)
        sampler = Sampler(make_components("epsilon"), replace(SETTINGS, dtype="auto"))
        assert sampler.settings.dtype == dtype
        assert sampler.components.unet.dtype == getattr(torch, dtype)


def test_bfloat16_decodes_as_float32_but_for_rounding(make_components: MakeComponents) -> None:
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    plain, _ = Sampler(make_components("epsilon"), SETTINGS).decode(latents)
    half = Sampler(make_components("epsilon"), replace(SETTINGS, dtype="bfloat16"))
    found, finite = half.decode(latents)
    assert half.components.vae.dtype == torch.float32
    assert finite.all()
    # bfloat16 has 8 bits: each layer rounds values near 1 by up to half a gray level.
    assert 0 < difference(found, plain) <= 5
    assert plain.std() > 25


def test_half_precision_that_overflows_is_drawn_again(make_components: MakeComponents) -> None:
    components = make_components("epsilon")
    with torch.no_grad():
        components.unet.conv_in.weight.mul_(2e4)  # normalized after, so that float32 is finite
    sampler = Sampler(components, replace(SETTINGS, dtype="float16", steps=2))
    found = np.stack(list(sampler.sample(IMAGES[:2])))
    assert sampler.redrawn == [1, 2]
    assert sampler.components.unet.dtype == torch.float16
    expected = Sampler(components, replace(SETTINGS, steps=2))
    assert difference(found, np.stack(list(expected.sample(IMAGES[:2])))) <= 1
    assert not expected.redrawn


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("network", ["unet", "vae", "text_encoder"])
def test_a_broken_network_is_named_and_draws_no_black_image(
    make_components: MakeComponents, network: str, dtype: Any
) -> None:
    components = make_components("epsilon")
    net = getattr(components, network)
    weight = {
        "unet": lambda: net.conv_out.bias,
        "vae": lambda: net.decoder.conv_out.bias,
        "text_encoder": lambda: net.get_input_embeddings().weight,
    }[network]()
    with torch.no_grad():
        weight[0] = torch.nan  # of the text encoder: token 0
        if network == "text_encoder":
            weight.fill_(torch.nan)
    sampler = Sampler(components, replace(SETTINGS, dtype=dtype, steps=2))
    with pytest.raises(InputError, match=r"'<view-pa> cardiomegaly' with seed 1 is not finite"):
        list(sampler.sample(IMAGES[:1]))


@pytest.mark.parametrize("schedule", ["linear", "scaled_linear", "squaredcos_cap_v2"])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_each_solver_follows_a_schedule_or_refuses_it(name: SchedulerName, schedule: str) -> None:
    trained = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule=schedule)
    if name.endswith("Karras") and schedule == "squaredcos_cap_v2":
        with pytest.raises(InputError, match=f"cosine .*choose {re.escape(name.split()[0])}$"):
            make_scheduler(name, trained)
        return
    for steps in (1, 5, 20):
        scheduler = make_scheduler(name, trained)
        scheduler.set_timesteps(steps)
        latents = torch.zeros(1, 4, 4, 4)
        for step in scheduler.timesteps:
            latents = scheduler.step(torch.ones_like(latents), step, latents).prev_sample
        assert torch.isfinite(latents).all()
