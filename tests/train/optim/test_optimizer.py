import json
import math
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from roentgen.diffusion.components import Components
from roentgen.diffusion.denoiser import Denoiser
from roentgen.errors import InputError
from train.config_sections import LearningRates, OptimizerConfig
from train.optim.optimizer import (
    build_optimizer,
    check_optimizer,
    load_optimizer_state,
    optimizer_state,
    rate_factor,
    set_rates,
)

EMBEDDINGS = ("token_embedding", "position_embedding")


def test_warm_up_then_half_a_cosine() -> None:
    factors = [rate_factor(step, 12, 2, "cosine") for step in range(12)]
    assert factors[:3] == [0.5, 1.0, 1.0]
    assert factors[7] == pytest.approx(0.5)
    assert factors[11] == pytest.approx(0.5 * (1 + math.cos(math.pi * 0.9)))
    assert [rate_factor(step, 12, 2, "constant") for step in (0, 1, 11)] == [0.5, 1.0, 1.0]


def test_each_net_has_its_rate_and_embeddings_norms_and_biases_no_decay(
    make_small_components: Callable[..., Components],
) -> None:
    denoiser = Denoiser(make_small_components())
    rates = vars(LearningRates(unet=1e-3, text_encoder=1e-4))
    optimizer = build_optimizer(denoiser, OptimizerConfig(weight_decay=0.1), rates)
    found = {
        id(weight): (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for weight in group["params"]
    }
    for name, weight in denoiser.trained():
        rate = 1e-3 if name.startswith("unet.") else 1e-4
        decays = weight.ndim > 1 and name.split(".")[-2] not in EMBEDDINGS
        assert found[id(weight)] == (rate, 0.1 if decays else 0.0), name
    set_rates(optimizer, 0.5)
    assert {group["lr"] for group in optimizer.param_groups} == {5e-4, 5e-5}


def test_a_frozen_net_is_left_out(make_small_components: Callable[..., Components]) -> None:
    denoiser = Denoiser(make_small_components())
    denoiser.freeze({"text_encoder": 1e-5})
    rates = vars(LearningRates(unet=None, text_encoder=1e-4))
    optimizer = build_optimizer(denoiser, OptimizerConfig(), rates)
    names = {name.split(".")[0] for name, _ in denoiser.trained()}
    count = sum(len(group["params"]) for group in optimizer.param_groups)
    assert names == {"text_encoder"}
    assert count == len(list(denoiser.trained()))


EIGHT_BIT = pytest.param(
    "adamw8bit",
    marks=pytest.mark.skipif(
        find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed"
    ),
)


@pytest.mark.parametrize("name", ["adamw", "adafactor", EIGHT_BIT])
def test_a_state_taken_up_goes_on_bit_for_bit(
    make_small_components: Callable[..., Components], tmp_path: Path, name: str
) -> None:
    config = OptimizerConfig(name=name)  # type: ignore[arg-type]

    def make() -> tuple[Denoiser, torch.optim.Optimizer]:
        denoiser = Denoiser(make_small_components())
        denoiser.unet.to(memory_format=torch.channels_last)
        return denoiser, build_optimizer(denoiser, config, vars(LearningRates()))

    def step(denoiser: Denoiser, optimizer: torch.optim.Optimizer, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        for _, weight in denoiser.trained():
            noise = torch.randn(weight.shape, generator=generator)
            weight.grad = torch.empty_like(weight).copy_(noise)
        optimizer.step()

    first, optimizer = make()
    step(first, optimizer, 0)
    second, again = make()
    second.load(dict(first.trained()))
    tensors, numbers = optimizer_state(first, optimizer)
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, tmp_path / "state")
    read, told = load_file(tmp_path / "state"), json.loads(json.dumps(numbers))
    load_optimizer_state(second, again, read, told)
    step(first, optimizer, 1)
    step(second, again, 1)
    if name == "adamw8bit":
        assert {tensor.dtype for tensor in tensors.values()} == {torch.uint8, torch.float32}
    pairs = zip(first.trained(), second.trained(), strict=True)
    assert all(torch.equal(a, b) for (_, a), (_, b) in pairs)


def test_an_absent_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"adamw8bit needs a package: pip install -e '.\[bits"):
        check_optimizer(OptimizerConfig(name="adamw8bit"))
    check_optimizer(OptimizerConfig(name="adamw"))
