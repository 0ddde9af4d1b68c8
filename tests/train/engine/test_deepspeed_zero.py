"""Moments cut up over two processes (DeepSpeed) train as whole ones; checkpoints serve both."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from roentgen.config import load_config
from roentgen.errors import InputError
from train.config import FinetuneConfig
from train.engine.deepspeed_zero import is_deepspeed_launch, zero_plugin
from train.setup.processes import make_accelerator

ROOT = Path(__file__).parents[3]
# On CPUs DeepSpeed would first compile an exchange of its own; gloo's is what others use.
GLOO = "import deepspeed.ops\ndeepspeed.ops.__compatible_ops__.clear()\n"

needs_deepspeed = pytest.mark.skipif(
    not importlib.util.find_spec("deepspeed"), reason="needs the extra deepspeed"
)


@pytest.fixture
def cut_up(spoilt_program: Callable[[str], Path]) -> Callable[..., None]:
    """Fine-tunes with DeepSpeed on two processes, by the launch file that we ship."""
    program = spoilt_program(GLOO)

    def launch(path: Path, *overrides: str, stage: int = 2) -> None:
        command = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes=2"]
        command += ["--main_process_port=0"]  # any that is free
        command += [f"--config_file={ROOT}/configs/accelerate/deepspeed.yaml"]
        command += [f"--zero_stage={stage}", str(program), str(path), *overrides]
        paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr[-3000:]

    return launch


@pytest.mark.slow
@needs_deepspeed
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers 0.42
def test_cut_up_moments_train_as_whole_ones_and_each_resumes_from_the_other(
    eventful: Path,
    fine_tune: Callable[..., Any],
    cut_up: Callable[..., None],
    agree: Callable[[Any, Any], None],
    copied: Callable[[Path, str], Path],
    tmp_path: Path,
) -> None:
    one, two = fine_tune(eventful, f"--output={tmp_path / 'one'}"), tmp_path / "two"
    reads = type(one)
    cut_up(eventful, f"--output={two}")
    agree(one, reads(two))
    gathered, spread, again = (
        copied(folder, name)
        for folder, name in ((two, "gathered"), (one.folder, "spread"), (two, "again"))
    )
    agree(one, fine_tune(eventful, f"--output={gathered}", "--resume=true"))
    cut_up(eventful, f"--output={spread}", "--resume=true")
    agree(one, reads(spread))
    cut_up(eventful, f"--output={again}", "--resume=true")
    uninterrupted, resumed = reads(two).checkpoint(6), reads(again).checkpoint(6)
    assert uninterrupted.keys() == resumed.keys()
    for name, tensor in uninterrupted.items():
        assert torch.equal(resumed[name], tensor), name


@pytest.mark.slow
@needs_deepspeed
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers 0.42
def test_stage_1_trains_as_a_whole_without_clipping(
    eventful: Path,
    fine_tune: Callable[..., Any],
    cut_up: Callable[..., None],
    agree: Callable[[Any, Any], None],
    tmp_path: Path,
) -> None:
    free = "--optimizer.clip=null"
    one, two = fine_tune(eventful, f"--output={tmp_path / 'one'}", free), tmp_path / "two"
    cut_up(eventful, f"--output={two}", free, stage=1)
    agree(one, type(one)(two))


@pytest.mark.slow
@needs_deepspeed
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers 0.42
def test_bf16_is_autocast_s_and_weights_stay_float32(
    eventful: Path, fine_tune: Callable[..., Any], cut_up: Callable[..., None], tmp_path: Path
) -> None:
    # The base as good as unchanged: after a true step, Adam has made much of every rounding.
    still = ("--learning_rate.unet=1e-12", "--learning_rate.text_encoder=1e-12")
    first = ("--steps=1", "--preview=null", "--batch_size=2", "--gradient_accumulation=1", *still)
    low = (*first, "--precision=bf16")
    one = fine_tune(eventful, f"--output={tmp_path / 'one'}", *low)
    exact = fine_tune(eventful, f"--output={tmp_path / 'exact'}", *first)
    cut_up(eventful, f"--output={tmp_path / 'two'}", *low)
    two = type(one)(tmp_path / "two")
    assert {tensor.dtype for tensor in two.checkpoint(1).values()} == {torch.float32}
    for name in ("loss", "held_out_loss"):
        (rounded,), (whole,), (found,) = (run.metrics(name) for run in (one, exact, two))
        assert found == pytest.approx(rounded, rel=1e-6)
        assert found != pytest.approx(whole, rel=1e-5)


@pytest.fixture
def config(write: Callable[..., Path]) -> Callable[..., FinetuneConfig]:
    return lambda *overrides: load_config(FinetuneConfig, [str(write()), *overrides])


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """DeepSpeed seems to be there."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name == "deepspeed" or find(name))


def test_deepspeed_must_be_installed(
    config: Callable[..., FinetuneConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not is_deepspeed_launch()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")  # as accelerate launch says it
    with pytest.raises(InputError, match=r"^DeepSpeed is not installed: pip install .*deepspeed"):
        make_accelerator(config("--tracker=null"))


@pytest.mark.usefixtures("installed")
def test_deepspeed_is_told_what_the_configuration_says(
    config: Callable[..., FinetuneConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    slices = "--gradient_accumulation=2"
    plugin = zero_plugin(config(slices, "--optimizer.clip=0.5", "--precision=bf16"))
    told = plugin.deepspeed_config
    assert told["zero_optimization"]["stage"] == 2
    assert (told["gradient_accumulation_steps"], told["gradient_clipping"]) == (2, 0.5)
    assert told["torch_autocast"]["enabled"]
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_ZERO_STAGE", "1")
    told = zero_plugin(config("--optimizer.clip=null")).deepspeed_config
    assert told["zero_optimization"]["stage"] == 1
    assert (told["gradient_accumulation_steps"], told["gradient_clipping"]) == (1, 0.0)
    assert not told["torch_autocast"]["enabled"]


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("settings", "overrides", "told"),
    [
        ({"DEEPSPEED_ZERO_STAGE": "0"}, [], "zero_stage 0: use configs/accelerate/multi_gpu.yaml"),
        ({"DEEPSPEED_ZERO_STAGE": "3"}, [], "zero_stage 3: use configs/accelerate/fsdp.yaml"),
        ({"DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE": "cpu"}, [], "offload_param_device: set both none"),
        ({"DEEPSPEED_OFFLOAD_PARAM_DEVICE": "nvme"}, [], "offload_param_device: set both none"),
        (
            {"GRADIENT_ACCUMULATION_STEPS": "4"},
            [],
            "steps 4: leave it out, ours is 1",
        ),
        ({"GRADIENT_CLIPPING": "0.1"}, [], "clipping 0.1: leave it out, optimizer.clip is 1.0"),
        ({"DEEPSPEED_CONFIG_FILE": "own.json"}, [], "deepspeed_config_file: leave it out"),
        ({}, ["--lora={rank: 4}"], "lora: use configs/accelerate/multi_gpu.yaml"),
        ({}, ["--optimizer.name=adafactor"], "optimizer.name adafactor: choose adamw"),
        ({}, ["--precision=fp16"], "precision fp16: choose bf16 or fp32"),
        ({}, ["--compile=true"], "compile: set it false"),
    ],
)
def test_what_deepspeed_cannot_do_exactly_is_refused(
    config: Callable[..., FinetuneConfig],
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, str],
    overrides: list[str],
    told: str,
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(f"ACCELERATE_{name}", value)
    with pytest.raises(InputError, match=r"^DeepSpeed does not go with ") as error:
        zero_plugin(config(*overrides))
    assert told in str(error.value)
    assert "nor with" not in str(error.value)
