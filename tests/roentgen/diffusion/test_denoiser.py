"""One forward pass: training, sampling and membership predict the same from the same inputs."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from eval.privacy.membership import NoiseSettings, denoising_losses
from roentgen.diffusion.components import Components
from roentgen.diffusion.conditions.conditions import Conditions
from roentgen.diffusion.conditions.controlnet import new_controlnet
from roentgen.diffusion.conditions.prompt_encoding import tokenize_prompts
from roentgen.diffusion.denoiser import Denoiser
from roentgen.diffusion.noise_schedule import process_of
from roentgen.diffusion.sampling.sampler import Sampler
from roentgen.diffusion.sampling.settings import SamplerSettings
from roentgen.randomness import torch_generator

# diffusers' DPM-Solver++ hands a tensor to np.array.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)
PROMPTS = ["cardiomegaly", "small left effusion"]
STRUCTURES = ("lungs", "heart")


@pytest.fixture(scope="module")
def components(make_small_components: Callable[..., Components]) -> Components:
    """Small components with a projection of text states and a ControlNet that has an effect."""
    made = make_small_components(prediction_type="v_prediction")
    controlnet = new_controlnet(made.unet, STRUCTURES, halvings=2)
    generator = torch.Generator().manual_seed(5)
    made.projection = torch.nn.Linear(16, 16, bias=False)
    with torch.no_grad():
        made.projection.weight.copy_(torch.randn(16, 16, generator=generator) / 4)
        for name, weight in controlnet.named_parameters():
            if name.startswith(("controlnet_down", "controlnet_mid")):
                weight.copy_(0.3 * torch.randn(weight.shape, generator=generator))
    made.controlnet, made.structures = controlnet.requires_grad_(False), STRUCTURES
    return made


@pytest.fixture(scope="module")
def given(components: Components) -> Conditions:
    masks = torch.randn(2, 2, 32, 32, generator=torch.Generator().manual_seed(1)).sign()
    return Conditions(text=tokenize_prompts(components.tokenizer, PROMPTS), masks=masks)


@dataclass(frozen=True)
class Image:
    prompt: str
    seed: int
    negative_prompt: None = None


@torch.no_grad()
def test_states_made_beforehand_predict_what_token_ids_do(
    components: Components, given: Conditions
) -> None:
    denoiser = Denoiser(components).eval()
    noisy, timesteps = torch.randn(2, 4, 8, 8), torch.tensor([30, 700])
    predicted = denoiser(noisy, timesteps, given)
    assert torch.equal(denoiser(noisy, timesteps, denoiser.encoded(given)), predicted)
    for one in range(2):  # alone as in a batch
        alone = denoiser(noisy[[one]], timesteps[[one]], given[[one]])
        torch.testing.assert_close(alone, predicted[[one]], atol=1e-5, rtol=1e-4)
    flipped = given[[1, 0]]
    for changed in (given | flipped.without("text"), given | flipped.without("masks")):
        # Every condition has an effect.
        assert not torch.allclose(denoiser(noisy, timesteps, changed), predicted, atol=1e-3)


@torch.no_grad()
def test_sampling_calls_the_same_forward_pass(components: Components, given: Conditions) -> None:
    images = [Image(prompt, seed) for seed, prompt in enumerate(PROMPTS)]
    settings = SamplerSettings(
        scheduler="DDIM", steps=2, guidance_scale=4.0, conditioning_scale=0.7, device="cpu"
    )
    sampler = Sampler(components, settings)
    first: list[Any] = []

    def record(module: torch.nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        first.append((*args, output))

    hook = components.unet.register_forward_hook(record)
    sampler.latents(images, given.without("text"))
    hook.remove()
    noisy, timestep, _, seen = first[0]
    denoiser = Denoiser(components, conditioning_scale=0.7).eval()
    empty = Conditions(text=tokenize_prompts(components.tokenizer, ["", ""]))
    predicted = denoiser(noisy, timestep.expand(4), given.doubled(empty))
    torch.testing.assert_close(seen[0], predicted, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_membership_measures_the_training_loss(components: Components, given: Conditions) -> None:
    films = np.random.default_rng(0).integers(0, 256, (2, 32, 32), dtype=np.uint8)
    settings = NoiseSettings(timesteps=(200,), noises=1, seed=0)
    measured = denoising_losses(components, films, given.__getitem__, ["a", "b"], settings)
    pixels = torch.from_numpy(films).float()[:, None].expand(-1, 3, -1, -1) / 127.5 - 1
    vae = components.vae
    latents = vae.encode(pixels).latent_dist.mean * vae.config.scaling_factor
    noise = torch.stack(
        [
            torch.randn(4, 8, 8, generator=torch_generator(0, "membership", name, 200, 0))
            for name in ("a", "b")
        ]
    )
    denoiser, process = Denoiser(components).eval(), process_of(components.scheduler)

    def losses(conditions: Conditions) -> Tensor:
        def predict(noisy: Tensor, timesteps: Tensor) -> Tensor:
            predicted: Tensor = denoiser(noisy, timesteps, conditions)
            return predicted

        return process.losses(predict, latents, noise, torch.tensor([200, 200]))

    np.testing.assert_allclose(measured, losses(given).numpy(), rtol=1e-5)
    assert not np.allclose(measured, losses(given.without("masks")).numpy(), rtol=1e-3)


def test_weights_of_the_loss_are_those_of_its_timesteps(components: Components) -> None:
    process = process_of(components.scheduler)
    latents, noise = torch.randn(3, 4, 8, 8), torch.randn(3, 4, 8, 8)
    timesteps = torch.tensor([0, 400, 999])

    def nothing(noisy: Tensor, timesteps: Tensor) -> Tensor:
        return torch.zeros_like(noisy)

    plain = process.losses(nothing, latents, noise, timesteps)
    weighted = process.losses(nothing, latents, noise, timesteps, min_snr=5.0)
    alpha_bar = process.alpha_bars[timesteps]
    snr = alpha_bar / (1 - alpha_bar)
    expected = snr.clamp(max=5.0) / (snr + 1)
    torch.testing.assert_close(weighted, plain * expected, rtol=1e-3, atol=1e-6)
    epsilon = replace(process, prediction="epsilon").losses(nothing, latents, noise, timesteps)
    torch.testing.assert_close(epsilon, noise.square().mean(dim=(1, 2, 3)))
