"""Training of a ControlNet: which weights train, and the model that is saved."""

from typing import Any

from roentgen.diffusion.backbones.stable_diffusion import save_model
from roentgen.diffusion.denoiser import Denoiser
from train.config import ControlnetConfig
from train.inputs import Inputs
from train.loop import TrainingRun
from train.monitor.mask_fidelity import read_best
from train.run import run


def train_controlnet(config: ControlnetConfig) -> None:
    """Train as configured; see `train.run`."""
    run("train.controlnet", config.as_base(), choose_weights, save_result)


def choose_weights(config: ControlnetConfig, inputs: Inputs, denoiser: Denoiser) -> None:
    """The ControlNet's alone. Raises InputError for what cannot train it."""
    denoiser.freeze(config.rates())


def save_result(
    config: ControlnetConfig, inputs: Inputs, training: TrainingRun, origin: dict[str, Any]
) -> None:
    """Write the weights of the best Dice, or the last ones, averaged or raw, as a pipeline."""
    if not training.accelerator.is_main_process:
        return
    components, state = inputs.components, training.state
    if state.ema:
        state.denoiser.load(state.ema.weights)
    origin_of_weights = "of the last step"
    if config.mask_fidelity:
        weights, best = read_best(config.output)
        state.denoiser.load(weights)
        origin["provenance"]["mask_fidelity"] = best
        origin_of_weights = f"of step {best['step']}, mean Dice {best['score']:.3f}"
    folder = config.output / "model"
    half = config.save_precision == "fp16"
    save_model(folder, components, **origin, half=half, overwrite=config.resume)
    print(f"model: {folder} ({origin_of_weights})")  # noqa: T201
