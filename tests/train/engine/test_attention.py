import importlib.util
from collections.abc import Callable
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch.profiler import profile

from roentgen.diffusion.components import Components
from roentgen.diffusion.conditions.conditions import Conditions
from roentgen.diffusion.denoiser import Denoiser
from roentgen.errors import InputError
from train.config_sections import Attention
from train.engine.attention import attention_kernel, choose_attention

FLASH = "aten::_scaled_dot_product_flash_attention_for_cpu"
MATH = "aten::_scaled_dot_product_attention_math"


@pytest.fixture
def accelerator() -> Accelerator:
    AcceleratorState._reset_state(reset_partial_state=True)
    return Accelerator(cpu=True)


@pytest.fixture
def denoiser(make_small_components: Callable[..., Components]) -> Denoiser:
    return Denoiser(make_small_components())


def kernels(denoiser: Denoiser, choice: Attention) -> dict[str, int]:
    """How often each kernel ran in a step with gradient checkpointing, as the profiler saw it."""
    denoiser.train()
    denoiser.save_memory()
    noisy, ids = torch.zeros(2, 4, 8, 8), torch.zeros(2, 77, dtype=torch.int64)
    conditions = Conditions(text=ids)
    with profile() as seen, attention_kernel(choice):
        denoiser(noisy, torch.zeros(2, dtype=torch.int64), conditions).sum().backward()
    return {event.key: event.count for event in seen.key_averages() if event.key in (FLASH, MATH)}


def test_the_chosen_kernel_is_the_one_that_runs(
    denoiser: Denoiser, accelerator: Accelerator
) -> None:
    # Two text layers; of the UNet two blocks up and one down with self- and cross-attention each
    # and one in the middle: 8; checkpointing runs each of the ten twice.
    for choice, kernel in (("flash", FLASH), ("math", MATH)):
        choose_attention(denoiser, choice, accelerator)  # type: ignore[arg-type]
        assert kernels(denoiser, choice) == {kernel: 20}  # type: ignore[arg-type]


@pytest.mark.parametrize("choice", ["efficient", "cudnn"])
def test_a_kernel_that_is_not_here_is_refused(
    denoiser: Denoiser, accelerator: Accelerator, choice: Any
) -> None:
    message = rf"attention={choice} cannot be used on cpu with precision no .*: set attention=auto"
    with pytest.raises(InputError, match=message) as error:
        choose_attention(denoiser, choice, accelerator)
    assert "\n" not in str(error.value)


def test_a_choice_without_effect_is_refused(denoiser: Denoiser, accelerator: Accelerator) -> None:
    denoiser.text_encoder.set_attn_implementation("eager")
    with pytest.raises(InputError, match="no effect on the text encoder, whose kernel is 'eager'"):
        choose_attention(denoiser, "math", accelerator)
    denoiser.unet.set_attn_processor(AttnProcessor())
    with pytest.raises(
        InputError, match="no effect on the UNet, whose attention is AttnProcessor:"
    ):
        choose_attention(denoiser, "math", accelerator)


def test_xformers_that_do_not_come_to_work_are_told(
    denoiser: Denoiser, accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"attention=xformers needs a CUDA GPU and the package"):
        choose_attention(denoiser, "xformers", accelerator)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(InputError, match=r"attention=xformers cannot be used \(.*\): set"):
        choose_attention(denoiser, "xformers", accelerator)
    name = "enable_xformers_memory_efficient_attention"
    monkeypatch.setattr(UNet2DConditionModel, name, lambda self: None)
    with pytest.raises(InputError, match="attention=xformers has no effect on AttnProcessor2_0"):
        choose_attention(denoiser, "xformers", accelerator)
