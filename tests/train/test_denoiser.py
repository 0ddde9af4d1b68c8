from collections.abc import Callable

import pytest
from diffusers import UNet2DConditionModel

from roentgen.errors import InputError
from roentgen.models.stable_diffusion import Parts
from train.denoiser import Denoiser


def test_xformers_that_do_not_come_to_work_are_told(
    make_small_parts: Callable[..., Parts], monkeypatch: pytest.MonkeyPatch
) -> None:
    denoiser = Denoiser(make_small_parts())
    with pytest.raises(InputError, match=r"xformers cannot be used \(.*\): set xformers=false"):
        denoiser.use_xformers()
    name = "enable_xformers_memory_efficient_attention"
    monkeypatch.setattr(UNet2DConditionModel, name, lambda self: None)
    with pytest.raises(InputError, match="xformers has no effect on AttnProcessor2_0"):
        denoiser.use_xformers()
