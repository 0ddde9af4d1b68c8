"""Averages of any width: against the paper's numbers, integrals, and averages made directly."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from scipy.integrate import quad

from roentgen.config import load_config
from roentgen.diffusion.backbones.stable_diffusion import load_components
from roentgen.diffusion.components import Components
from roentgen.diffusion.denoiser import Denoiser
from roentgen.diffusion.training_record import trained_preparation, trained_split, trained_style
from roentgen.errors import InputError
from roentgen.generation.training_scope import training_scope
from roentgen.manifest import read_manifest
from train.averaging import average
from train.config import AverageConfig
from train.optim.ema import (
    PosthocEma,
    coefficients,
    combine,
    exponent,
    find_snapshots,
    misfit,
    power_decay,
    products,
    save_snapshots,
)

DONE = torch.tensor(1.0)
WIDTHS = (0.05, 0.10)


def test_exponents_are_the_papers() -> None:
    assert [round(exponent(width), 2) for width in WIDTHS] == [16.97, 6.94]  # sec. 3.1
    for width in (0.01, 0.1, 0.25):  # eq. 123
        gamma = exponent(width)
        again = ((gamma + 1) / ((gamma + 2) ** 2 * (gamma + 3))) ** 0.5
        assert again == pytest.approx(width, rel=1e-9)


def profile(time: int, width: float) -> np.ndarray:
    """How much each of the steps 1 to `time` weighs in a running average; float64 [time]."""
    gamma, steps = exponent(width), np.arange(time + 1) / time
    return np.diff(steps ** (gamma + 1))  # the integral of the power function over each step


@pytest.mark.parametrize("width", [0.05, 0.1, 0.2])
def test_the_decays_make_a_power_function(width: float) -> None:
    weights, gamma = np.zeros(50), exponent(width)
    for time in range(1, 51):
        decay = power_decay(time, gamma)
        weights *= decay
        weights[time - 1] = 1 - decay
    np.testing.assert_allclose(weights, profile(50, width), rtol=1e-12, atol=1e-15)
    # The profile has the width that it is named for.
    steps = np.arange(1, 5001) - 0.5
    weights = profile(5000, width)
    deviation = np.sqrt(weights @ steps**2 - (weights @ steps) ** 2)
    assert deviation / 5000 == pytest.approx(width, rel=1e-3)


def test_products_are_integrals() -> None:
    times, widths = np.array([100, 100, 250, 400]), np.array([0.05, 0.1, 0.05, 0.2])
    gammas = np.array([exponent(width) for width in widths])
    found = products(times, gammas, times, gammas)
    for i, j in np.ndindex(4, 4):

        def integrand(s: float, i: int = i, j: int = j) -> float:
            one, other = ((gammas[k] + 1) * (s / times[k]) ** gammas[k] / times[k] for k in (i, j))
            return float(one * other)

        expected = quad(integrand, 0, min(times[i], times[j]))[0]
        assert found[i, j] == pytest.approx(expected, rel=1e-6)


def test_a_snapshot_asked_for_is_that_snapshot() -> None:
    times, widths = [50, 50, 100, 100, 150, 150], [0.05, 0.1] * 3
    for place in range(6):
        shares = coefficients(times, widths, times[place], widths[place])
        np.testing.assert_allclose(shares, np.eye(6)[place], atol=1e-9)
        assert misfit(times, widths, times[place], widths[place], shares) < 1e-6


@pytest.mark.parametrize("width", [0.02, 0.03, 0.07, 0.15, 0.2, 0.25])
def test_combined_profiles_come_as_near_as_any_combination_can(width: float) -> None:
    steps, every = 4000, 125
    times = [time for time in range(every, steps + 1, every) for _ in WIDTHS]
    widths = list(WIDTHS) * (steps // every)
    shares = coefficients(times, widths, steps, width)
    assert shares.sum() == pytest.approx(1)
    profiles = np.zeros((steps, len(times)))
    for column, (time, kept) in enumerate(zip(times, widths, strict=True)):
        profiles[:time, column] = profile(time, kept)
    wanted = profile(steps, width)

    def error(combination: np.ndarray) -> float:
        return float(np.linalg.norm(profiles @ combination - wanted) / np.linalg.norm(wanted))

    # By numerical least squares over all the single steps, without the paper's integrals.
    best = error(np.linalg.lstsq(profiles, wanted, rcond=None)[0])
    assert error(shares) <= 1.05 * best
    assert misfit(times, widths, steps, width, shares) == pytest.approx(error(shares), rel=0.02)
    if 0.05 <= width <= 0.2:  # the widths between and near those that are kept
        assert best < 0.01


def trajectory(denoiser: Denoiser, steps: int) -> Sequence[dict[str, torch.Tensor]]:
    """Weights that wander as in training: towards somewhere, with noise; float64."""
    generator = torch.Generator().manual_seed(0)
    start = {name: weight.detach().double() for name, weight in denoiser.trained()}
    drift = {n: torch.randn(w.shape, generator=generator).double() for n, w in start.items()}
    return [
        {
            name: start[name]
            + drift[name] * (1 - np.exp(-3 * step / steps))
            + 0.1 * torch.randn(drift[name].shape, generator=generator).double()
            for name in start
        }
        for step in range(1, steps + 1)
    ]


def averaged(path: Sequence[dict[str, torch.Tensor]], width: float) -> dict[str, torch.Tensor]:
    """The average of a trajectory, directly; float64."""
    shares = torch.from_numpy(profile(len(path), width))
    return {
        name: torch.tensordot(shares, torch.stack([weights[name] for weights in path]), dims=1)
        for name in path[0]
    }


@pytest.fixture
def denoiser(make_small_components: Callable[..., Components]) -> Denoiser:
    denoiser = Denoiser(make_small_components())
    denoiser.freeze({"unet": 1e-5})
    for name, weight in denoiser.unet.named_parameters():
        weight.requires_grad_(name.startswith("conv_"))
    return denoiser


def test_weights_combined_from_snapshots_are_those_of_a_direct_average(
    denoiser: Denoiser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, posthoc = trajectory(denoiser, 300), PosthocEma(denoiser, WIDTHS)
    for step, weights in enumerate(path):
        denoiser.load({name: weight.float() for name, weight in weights.items()})
        posthoc.update(step, DONE)
        if (step + 1) % 15 == 0:
            save_snapshots(tmp_path, step + 1, posthoc)
    for kept, found in posthoc.averages.items():  # the running ones first
        truth = averaged(path, kept)
        for name, tensor in found.items():
            torch.testing.assert_close(tensor.double(), truth[name], rtol=0, atol=1e-5)

    opened, most = [0], [0]

    class Counted:
        def __init__(self, *arguments: Any, **options: Any) -> None:
            self.file: Any = safe_open(*arguments, **options)

        def __enter__(self) -> Any:
            opened[0] += 1
            most[0] = max(most[0], opened[0])
            return self.file.__enter__()

        def __exit__(self, *arguments: Any) -> None:
            opened[0] -= 1
            self.file.__exit__(*arguments)

    monkeypatch.setattr("train.optim.ema.safe_open", Counted)
    snapshots = find_snapshots(tmp_path)
    times, widths = [s.step for s in snapshots], [s.width for s in snapshots]
    for width in (0.05, 0.08, 0.15):
        combine(denoiser, snapshots, list(coefficients(times, widths, 300, width)))
        truth = averaged(path, width)
        for name, weight in denoiser.trained():
            spread = torch.stack([weights[name] for weights in path[-100:]]).std(dim=0).mean()
            off = (weight.detach().double() - truth[name]).square().mean().sqrt()
            assert off < 0.01 * spread, (width, name)
    assert (len(snapshots), most[0]) == (40, 1)  # one in memory at a time


def test_a_program_makes_a_model_of_any_width(
    write: Callable[..., Path], fine_tune: Callable[..., Any], tmp_path: Path
) -> None:
    posthoc = {"posthoc": {"every": 2, "widths": [0.1, 0.2]}}
    run = fine_tune(write(steps=5, ema=posthoc, validation=None))
    steps = sorted({snapshot.step for snapshot in find_snapshots(run.folder / "averages")})
    assert steps == [2, 4, 5]
    recipe = tmp_path / "average.yaml"
    recipe.write_text(f"run: {run.folder}\nwidth: 0.1\noutput: {tmp_path / 'averaged'}\n")
    average(load_config(AverageConfig, [str(recipe)]))
    made, saved = load_components(str(tmp_path / "averaged")), run.checkpoint(5)
    for name, weight in made.unet.state_dict().items():  # a width that was kept
        torch.testing.assert_close(weight, saved[f"width-0.1:unet.{name}"], rtol=1e-5, atol=1e-6)
    assert len(made.tokenizer) == 49411
    assert made.unet.config.sample_size == 8
    manifest = read_manifest(tmp_path / "averaged", "model")
    of_run = manifest["provenance"]["made_from"]["run"]["path"]
    assert Path(of_run).resolve() == run.folder.resolve()
    origin = read_manifest(run.folder, "run")
    assert manifest["licenses"] == origin["licenses"]
    # It is sampled from and checked for leakage as the run's own model is.
    assert trained_split(manifest) == trained_split(origin) == "train"
    assert trained_style(manifest) == trained_style(origin)
    assert training_scope(manifest) == training_scope(origin) is not None
    assert trained_preparation(manifest) == trained_preparation(origin) != {}

    def refused(message: str, **changes: Any) -> None:
        overrides = [f"--{key}={value}" for key, value in changes.items()]
        with pytest.raises(InputError, match=message) as error:
            average(load_config(AverageConfig, [str(recipe), *overrides]))
        assert "\n" not in str(error.value)

    refused("is not empty: choose another, or set overwrite")
    refused(r"step 3 has no snapshots in .*: 2, 4, 5", step=3, overwrite="true")
    refused("width is 0.3: it must be above 0 and below 0.28", width=0.3)
    half = run.folder / "averages" / "step-00000004" / "width-0.2.safetensors"
    half.write_bytes(half.read_bytes()[:-1] + b"x")
    refused(r"step-00000004 is damaged .* remove it", overwrite="true")
    assert load_components(str(tmp_path / "averaged"))  # the one before still stands
    shutil.rmtree(run.folder / "averages")
    refused("has no averages: train with ema.posthoc", overwrite="true")


def test_adapters_are_averaged_and_merged(
    write: Callable[..., Path], fine_tune: Callable[..., Any], tmp_path: Path, small_model: Path
) -> None:
    ema = {"decay": 0.5, "posthoc": {"every": 1, "widths": [0.1, 0.2]}}
    path = write(steps=3, ema=ema, lora={"rank": 2}, validation=None)
    run = fine_tune(path)
    recipe = tmp_path / "average.yaml"
    recipe.write_text(f"run: {run.folder}\nwidth: 0.2\noutput: {tmp_path / 'averaged'}\n")
    average(load_config(AverageConfig, [str(recipe)]))
    made, base = (
        load_components(str(tmp_path / "averaged")).unet,
        load_components(str(small_model)).unet,
    )
    saved, name = run.checkpoint(3), "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    down, up = (saved[f"width-0.2:unet.{name}.lora_{x}.default.weight"] for x in "AB")
    merged = base.get_submodule(name).weight + 16 / 2 * up @ down  # alpha / rank
    assert up.abs().max() > 0
    torch.testing.assert_close(made.get_submodule(name).weight, merged, rtol=1e-4, atol=1e-6)


def test_a_resumed_run_keeps_the_same_averages(
    write: Callable[..., Path],
    fine_tune: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = {"ema": {"posthoc": {"every": 2}}, "checkpoint": {"every": 3}, "validation": None}
    path = write(steps=6, **settings)
    whole = fine_tune(path, f"--output={tmp_path / 'whole'}")

    class KilledError(Exception):
        pass

    def die(*_: object) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr("train.finetuning.save_result", die)
        with pytest.raises(KilledError):
            fine_tune(path)
    run = tmp_path / "run"
    shutil.rmtree(run / "checkpoints" / "step-00000006")
    shutil.rmtree(run / "averages" / "step-00000006")
    again = fine_tune(path, "--resume=true")
    one, other = whole.checkpoint(6), again.checkpoint(6)
    assert {name.split(":")[0] for name in one} >= {"width-0.05", "width-0.1"}
    assert [name for name in one if not torch.equal(one[name], other[name])] == []
    records = [
        {(s.step, s.width): s.record["sha256"] for s in find_snapshots(folder / "averages")}
        for folder in (whole.folder, run)
    ]
    assert records[0] == records[1]
    assert len(records[0]) == 6
