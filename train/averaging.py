"""Post-hoc average: a run's snapshots combined into the weights of one model."""

import torch

from roentgen.config import load_config
from roentgen.diffusion.backbones.model_folder import find_model
from roentgen.diffusion.backbones.stable_diffusion import save_model
from roentgen.diffusion.components import Components
from roentgen.diffusion.denoiser import Denoiser
from roentgen.errors import InputError
from roentgen.manifest import provenance, read_manifest
from roentgen.storage import check_output, reserve_output
from train.checks import choose_prediction
from train.config import AverageConfig, FinetuneConfig
from train.optim.ema import Snapshot, coefficients, combine, find_snapshots, misfit
from train.optim.lora import adapt, merge
from train.setup.base_model import base_fingerprints, load_base


def average(config: AverageConfig) -> None:
    """Combine a run's snapshots as configured. Raises InputError before any work if it cannot."""
    with reserve_output(config.output):
        check_output(config.output, overwrite=config.overwrite)
        _average(config)


def _average(config: AverageConfig) -> None:
    manifest = read_manifest(config.run, "run")
    trained = load_config(FinetuneConfig, [str(config.run / "config.yaml")])
    snapshots = choose_snapshots(config)
    steps, widths = [s.step for s in snapshots], [s.width for s in snapshots]
    shares = coefficients(steps, widths, steps[-1], config.width)
    components = base_of(trained, manifest["provenance"]["made_from"]["base"]["fingerprint"])
    components.unet.register_to_config(sample_size=snapshots[-1].sample_size)
    put_average(trained, components, snapshots, list(shares))
    trained_by = manifest["provenance"]
    made_from = provenance("train.average", config, {**trained_by["made_from"], "run": manifest})
    # Sampling and evaluation follow the training as they do for the run's own model.
    made_from["training_config"] = trained_by["config"]
    records = ("training_prompts", "training_data")
    made_from |= {record: trained_by[record] for record in records if record in trained_by}
    save_model(
        config.output,
        components,
        licenses=manifest["licenses"],
        provenance=made_from,
        half=config.save_precision == "fp16",
        overwrite=config.overwrite,
    )
    error = misfit(steps, widths, steps[-1], config.width, shares)
    what = f"width {config.width:g} at step {steps[-1]} of {len(snapshots)} snapshots"
    print(f"model: {config.output} ({what}, profile within {error:.2%})")  # noqa: T201


def choose_snapshots(config: AverageConfig) -> list[Snapshot]:
    """The snapshots up to the configured step, oldest first."""
    found = find_snapshots(config.run / "averages")
    if not found:
        raise InputError(f"run {config.run} has no averages: train with ema.posthoc")
    steps = sorted({snapshot.step for snapshot in found})
    last = steps[-1] if config.step is None else config.step
    if last not in steps:
        known = ", ".join(map(str, steps))
        raise InputError(f"step {last} has no snapshots in {config.run}; these have: {known}")
    return [snapshot for snapshot in found if snapshot.step <= last]


def base_of(trained: FinetuneConfig, fingerprint: str) -> Components:
    """The components that the run started with, and the scheduler as the run changed it."""
    found = base_fingerprints(trained, find_model(trained.base))["base"]
    if found != fingerprint:
        raise InputError(
            f"base model {trained.base} has changed since the run started ({fingerprint} then, "
            f"{found} now): restore it"
        )
    components = load_base(trained)
    choose_prediction(trained, components)
    return components


def put_average(
    trained: FinetuneConfig, components: Components, snapshots: list[Snapshot], shares: list[float]
) -> None:
    """Replace the weights that the run trained by the weighted sum of its snapshots."""
    denoiser = Denoiser(components)
    denoiser.freeze(trained.rates())
    if trained.lora:
        adapt(denoiser, components.tokenizer, trained.lora, seed=trained.seed, dtype=torch.float32)
    combine(denoiser, snapshots, shares)
    if trained.lora:
        merge(denoiser.unet)
        merge(denoiser.text_encoder)
