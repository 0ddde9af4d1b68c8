"""Sampling with a ControlNet, beside diffusers' own pipeline on the same exported folder."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionControlNetPipeline

from roentgen.diffusion.backbones.stable_diffusion import load_components, save_model
from roentgen.diffusion.components import Components
from roentgen.diffusion.conditions.conditions import Conditions
from roentgen.diffusion.conditions.controlnet import mask_conditions, new_controlnet
from roentgen.diffusion.sampling.sampler import Sampler
from roentgen.diffusion.sampling.schedulers import make_scheduler
from roentgen.diffusion.sampling.settings import SamplerSettings
from roentgen.errors import InputError
from roentgen.imaging.images import from_tensor

LICENSE = {"name": "CC0-1.0", "data_use": None, "may_share": True}


# diffusers' DPM-Solver++ hands a tensor to np.array.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

STRUCTURES = ("lungs", "heart", "pneumothorax")
SIZE = 32
SETTINGS = SamplerSettings(steps=6, guidance_scale=4.0, batch_size=4, device="cpu")


@dataclass(frozen=True)
class Image:
    prompt: str
    seed: int
    negative_prompt: str | None = None


IMAGES = [Image("cardiomegaly", 1), Image("pneumothorax", 2), Image("", 3)]


@pytest.fixture(scope="module")
def make_components(make_small_components: Callable[..., Components]) -> Callable[[], Components]:
    """Small components with a ControlNet whose say is loud."""

    def make() -> Components:
        components = make_small_components()
        controlnet = new_controlnet(components.unet, STRUCTURES, halvings=2)
        generator = torch.Generator().manual_seed(5)
        with torch.no_grad():
            components.vae.decoder.conv_out.weight.mul_(5)
            for name, weight in controlnet.named_parameters():
                if name.startswith(("controlnet_down", "controlnet_mid")) or "conv_out" in name:
                    weight.copy_(0.3 * torch.randn(weight.shape, generator=generator))
        components.controlnet, components.structures = controlnet, STRUCTURES
        return components

    return make


def conditions() -> Conditions:
    """Masks of each image, one of them unknown."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    made = []
    for i in range(len(IMAGES)):
        lungs = (rows - 16) ** 2 + (columns - 10 - 3 * i) ** 2 < 60
        masks = {"lungs": lungs, "heart": rows > 20, "pneumothorax": None if i else ~lungs}
        made.append(mask_conditions(masks, STRUCTURES))
    return Conditions.joined(made)


def drawn(
    components: Components, settings: SamplerSettings, given: Conditions | None
) -> np.ndarray:
    sampler = Sampler(components, settings)
    of_images = None if given is None else (given[i : i + 1] for i in range(len(IMAGES)))
    return np.stack(list(sampler.sample(IMAGES, of_images)))


def test_channels_are_inside_outside_and_unknown() -> None:
    mask = np.zeros((2, 2), dtype=bool)
    mask[0, 1] = True
    shown = mask_conditions({"heart": mask, "lungs": None}, ("lungs", "heart", "nodule")).masks
    assert shown is not None
    assert shown.dtype == torch.float32
    expected = [[[0, 0], [0, 0]], [[-1, 1], [-1, -1]], [[0, 0], [0, 0]]]
    assert torch.equal(shown, torch.tensor([expected]).float())
    with pytest.raises(InputError, match="no mask of lungs, heart is given"):
        mask_conditions({"lungs": None}, ("lungs", "heart"))


def test_a_new_controlnet_changes_nothing(make_small_components: Callable[..., Components]) -> None:
    components = make_small_components()
    plain = drawn(components, SETTINGS, None)
    components.controlnet, components.structures = (
        new_controlnet(components.unet, STRUCTURES, halvings=2),
        STRUCTURES,
    )
    np.testing.assert_array_equal(drawn(components, SETTINGS, conditions()), plain)


@pytest.mark.parametrize(
    ("scale", "interval"), [(1.0, (0.0, 1.0)), (0.4, (0.0, 1.0)), (1.0, (0.3, 0.8))]
)
def test_the_exported_folder_draws_the_same_in_diffusers(
    make_components: Callable[[], Components],
    tmp_path: Path,
    scale: float,
    interval: tuple[float, float],
) -> None:
    folder = tmp_path / "model"
    save_model(folder, make_components(), licenses=[LICENSE], provenance={})
    settings = replace(SETTINGS, conditioning_scale=scale, conditioning_interval=interval)
    components = load_components(str(folder))
    assert components.structures == STRUCTURES
    ours = drawn(components, settings, conditions())

    pipeline = StableDiffusionControlNetPipeline.from_pretrained(folder)
    assert pipeline.controlnet.config.conditioning_channels == len(STRUCTURES)
    pipeline.scheduler = make_scheduler(settings.scheduler, pipeline.scheduler)
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline(
        [image.prompt for image in IMAGES],
        image=conditions().masks,
        num_inference_steps=settings.steps,
        guidance_scale=settings.guidance_scale,
        controlnet_conditioning_scale=scale,
        control_guidance_start=interval[0],
        control_guidance_end=interval[1],
        generator=[torch.Generator().manual_seed(image.seed) for image in IMAGES],
        output_type="pt",
    ).images
    theirs = from_tensor(images * 2 - 1)
    assert np.abs(theirs.astype(int) - ours).max() <= 1
    without = drawn(components, settings, None)
    assert np.abs(ours.astype(int) - without).mean() > 2  # and the masks do bear on the pictures


def test_prompts_alone_draw_what_the_base_draws(
    make_components: Callable[[], Components], tmp_path: Path
) -> None:
    components = make_components()
    with_controlnet = drawn(components, SETTINGS, None)
    components.controlnet, components.structures = None, ()
    np.testing.assert_array_equal(drawn(components, SETTINGS, None), with_controlnet)


def test_an_image_does_not_depend_on_its_batch(make_components: Callable[[], Components]) -> None:
    together = drawn(make_components(), SETTINGS, conditions())
    alone = drawn(make_components(), replace(SETTINGS, batch_size=1), conditions())
    assert np.abs(together.astype(int) - alone).max() <= 1


def test_wrong_masks_are_refused_in_one_line(make_components: Callable[[], Components]) -> None:
    components, masks = make_components(), conditions().masks
    assert masks is not None
    with pytest.raises(InputError, match=r"masks are \[3, 2, 32, 32\].*takes \[3, 3, 32, 32\]"):
        drawn(components, SETTINGS, Conditions(masks=masks[:, :2]))
    with pytest.raises(InputError, match="cache_interval does not support masks"):
        drawn(components, replace(SETTINGS, cache_interval=2), conditions())
    components.controlnet = None
    with pytest.raises(InputError, match="masks need a model with a ControlNet"):
        drawn(components, SETTINGS, conditions())
    for wrong, match in (
        ({"conditioning_scale": -1.0}, "conditioning_scale is -1.0"),
        ({"conditioning_interval": (0.5, 0.5)}, "two shares of the steps"),
    ):
        with pytest.raises(InputError, match=match):
            replace(SETTINGS, **wrong)
    for structures in ((), ("lungs", "lungs")):
        with pytest.raises(InputError, match="each once"):
            new_controlnet(components.unet, structures)
