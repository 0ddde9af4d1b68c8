"""A schedule with zero terminal SNR, from the configuration to the picture."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from roentgen.diffusion.backbones.stable_diffusion import load_components, save_model
from roentgen.diffusion.components import Components
from roentgen.diffusion.noise_schedule import alpha_bars_of, with_zero_terminal_snr
from roentgen.diffusion.sampling.sampler import Sampler
from roentgen.diffusion.sampling.settings import SamplerSettings, SchedulerName
from roentgen.errors import InputError
from roentgen.imaging.images import from_tensor
from train.loading.draws import DrawPlan

LICENSE = {"name": "CC0-1.0", "data_use": None, "may_share": True}


# diffusers' DPM-Solver++ hands a tensor to np.array.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)
V_PREDICTION = {"prediction": "v_prediction", "change_prediction": True}


@dataclass(frozen=True)
class Image:
    prompt: str
    seed: int
    negative_prompt: None = None


def by_ours(model: Path, name: SchedulerName, image: Image) -> np.ndarray:
    settings = SamplerSettings(scheduler=name, steps=6, guidance_scale=3.0, device="cpu")
    (picture,) = Sampler(load_components(str(model)), settings).sample([image])
    return picture


def by_diffusers(model: Path, image: Image, solver: Any, **options: Any) -> np.ndarray:
    """By a plain pipeline, with the scheduler it was saved with or another one of its schedule."""
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(model)
    if solver:
        pipeline.scheduler = solver.from_config(pipeline.scheduler.config, **options)
    pipeline.set_progress_bar_config(disable=True)
    output = pipeline(
        image.prompt,
        num_inference_steps=6,
        guidance_scale=3.0,
        generator=torch.Generator().manual_seed(image.seed),
        output_type="pt",  # [1, 3, height, width] in [0, 1]
    )
    return from_tensor(output.images[0] * 2 - 1)


def test_a_model_trained_without_terminal_signal_draws_alike_in_diffusers(
    write: Callable[..., Path], fine_tune: Callable[..., Any]
) -> None:
    objective = V_PREDICTION | {"zero_terminal_snr": True, "min_snr_gamma": 5}
    model = fine_tune(write(objective=objective)).folder / "model"
    saved = load_components(str(model)).scheduler.config
    assert (saved.prediction_type, saved.timestep_spacing) == ("v_prediction", "trailing")
    assert saved.rescale_betas_zero_snr
    image = Image("<view-pa> cardiomegaly", seed=3)
    dpm = {"algorithm_type": "dpmsolver++", "timestep_spacing": "linspace"}
    for name, theirs in (
        ("DDIM", by_diffusers(model, image, None)),
        ("DPM-Solver++", by_diffusers(model, image, diffusers.DPMSolverMultistepScheduler, **dpm)),
    ):
        ours = by_ours(model, name, image)  # type: ignore[arg-type]
        assert ours.std() > 1  # no flat field, as NaN would become
        assert np.abs(ours.astype(int) - theirs.astype(int)).max() <= 1, name
    with pytest.raises(InputError, match="PNDM cannot start from zero signal"):
        by_ours(model, "PNDM", image)


def test_every_timestep_is_trained_even_the_one_without_signal(
    write: Callable[..., Path], fine_tune: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = DrawPlan.draw

    def at_the_end(plan: DrawPlan, step: int, places: range) -> Any:
        draws = draw(plan, step, places)
        draws.timesteps[:] = 999
        return draws

    monkeypatch.setattr(DrawPlan, "draw", at_the_end)
    objective = V_PREDICTION | {"zero_terminal_snr": True, "min_snr_gamma": 5}
    run = fine_tune(write(objective=objective))
    losses = run.metrics("loss")
    assert len(losses) == 2
    assert all(0 < loss < 10 for loss in losses)
    assert run.metrics("skipped") == []


def test_epsilon_is_refused(write: Callable[..., Path], fine_tune: Callable[..., Any]) -> None:
    with pytest.raises(InputError, match=r"zero_terminal_snr ends without signal, which needs v_"):
        fine_tune(write(objective={"zero_terminal_snr": True}))


def test_a_base_without_terminal_signal_keeps_it(
    write: Callable[..., Path],
    fine_tune: Callable[..., Any],
    make_small_components: Callable[..., Components],
    tmp_path: Path,
) -> None:
    components = make_small_components(prediction_type="v_prediction")
    components.scheduler = with_zero_terminal_snr(components.scheduler)
    save_model(tmp_path / "base", components, licenses=[LICENSE], provenance={})
    assert alpha_bars_of(load_components(str(tmp_path / "base")).scheduler)[-1] == 0
    path = write(base=str(tmp_path / "base"))
    run = fine_tune(path)
    assert len(run.metrics("loss")) == 2
    assert load_components(str(run.folder / "model")).scheduler.config.rescale_betas_zero_snr
    epsilon = "--objective={prediction: epsilon, change_prediction: true}"
    with pytest.raises(InputError, match=r"the schedule of base .* ends without signal"):
        fine_tune(path, epsilon, f"--output={tmp_path / 'other'}")
