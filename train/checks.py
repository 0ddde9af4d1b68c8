"""Checks before any work: data, base model and run folder must fit the configuration."""

from pathlib import Path
from typing import Any

from roentgen.config import config_to_dict
from roentgen.dataset.dataset import RadiographDataset, RadiographSplit, open_dataset
from roentgen.diffusion.backbones.model_folder import find_model
from roentgen.diffusion.components import Components
from roentgen.diffusion.conditions.prompt_encoding import PromptLimit
from roentgen.diffusion.noise_schedule import alpha_bars_of, with_zero_terminal_snr
from roentgen.errors import InputError
from roentgen.manifest import differences, read_manifest
from roentgen.preparation.filtered_split import filter_split
from roentgen.preparation.prompt_sources import check_prompt_sources
from roentgen.storage import MANIFEST, check_place, check_writable
from train.checkpoints.checkpoint import any_checkpoint, newest_checkpoint
from train.config import RunConfig
from train.inputs import Inputs, SplitInputs
from train.loading.augment import Augmenter
from train.loading.image_variants import ImageVariants
from train.loading.split_prompts import SplitPrompts
from train.monitor.previews import check_preview
from train.optim.optimizer import check_optimizer
from train.setup.base_model import base_fingerprints, load_base
from train.setup.conditions import training_conditions
from train.setup.disk_space import check_space, space_needed

# Settings that may differ between a checkpoint and the run that resumes from it: at most they
# change the order of sums. Folders are compared by fingerprint.
FREE = {"base", "output", "data.folder", "data.caches", "data.validate_split"}
FREE |= {"swap_text_encoder.model"}
FREE |= {"checkpoint", "validation", "preview", "log_every", "tracker", "save_precision"}
FREE |= {"optimizer.max_skipped_steps"}
FREE |= {"gradient_accumulation", "gradient_checkpointing", "attention", "compile", "channels_last"}
FREE |= {"resume", "allow_changes", "overwrite", "dry_run"}
FREE |= {"mask_fidelity"}


def check_inputs(config: RunConfig) -> Inputs:
    """Open everything that the configuration names; nothing is written. Raises InputError."""
    if not config.dry_run:
        check_place(config.output)
        check_writable(config.output)
    check_optimizer(config.optimizer)
    dataset = open_dataset(config.data.folder)
    splits = open_splits(config, dataset)
    styles = [entry.style for entry in config.drawn_styles()]
    for condition in training_conditions(config):
        for split in splits:
            condition.check(dataset, split.name)
    for split in splits:
        check_prompt_sources(dataset, split, styles, config.data.filter)
    base = find_model(config.base)
    identity = identity_of(config, dataset.fingerprint, base_fingerprints(config, base))
    checkpoint = choose_start(config, identity)
    components = load_base(config)
    size = image_size(splits[0], components)
    choose_prediction(config, components)
    if pictures := config.previews():
        check_preview(pictures, components)
    limit = PromptLimit(components.tokenizer, components.prompt_chunks)
    filtered = [  # of the tokens of the run's own prompts
        filter_split(
            split,
            config.data.filter,
            limit.count,
            styles,
            [condition.exclusion(split) for condition in training_conditions(config)],
        )
        for split in splits
    ]
    check_batch(config, len(filtered[0]), " that can be trained on")
    augment = config.data.augment
    augmenter = Augmenter(config=augment, seed=config.seed) if augment else None
    ready = [
        SplitInputs(
            split=split,
            images=ImageVariants(
                images=split, dataset=dataset.fingerprint, size=size, augmenter=of_split
            ),
            prompts=SplitPrompts(split, styles, components, config.too_long()),
        )
        for split, of_split in zip(filtered, (augmenter, None), strict=False)
    ]
    disk = space_needed(config, components, ready)
    check_space(config, disk)
    return Inputs(
        dataset=dataset,
        training=ready[0],
        held_out=ready[1] if ready[1:] else None,
        base=base,
        components=components,
        size=size,
        identity=identity,
        checkpoint=checkpoint,
        disk=disk,
    )


def open_splits(config: RunConfig, dataset: RadiographDataset) -> list[RadiographSplit]:
    """The training split and, unless validation is off, the held-out one; they share no patient."""
    check_batch(config, len(dataset.split(config.data.split)))
    if config.validation is None:
        return [dataset.split(config.data.split)]
    return [*dataset.disjoint_splits(config.data.split, config.data.validate_split)]


def check_batch(config: RunConfig, radiographs: int, note: str = "") -> None:
    """Raises InputError for a batch that is larger than the split it is drawn from."""
    if config.batch_size > radiographs:
        raise InputError(
            f"batch_size {config.batch_size} is larger than split {config.data.split!r} of "
            f"{config.data.folder}, which has {radiographs} radiographs{note}"
        )


def identity_of(config: RunConfig, dataset: str, bases: dict[str, str]) -> dict[str, Any]:
    """Values that must be equal in a checkpoint and the run that resumes from it."""
    settings = config_to_dict(config)
    for place in FREE:
        *sections, key = place.split(".")
        section = settings
        for name in sections:
            section = section.get(name) or {}  # absent or null where the section is off
        section.pop(key, None)
    return {"config": settings, "dataset": dataset, **bases}


def choose_start(config: RunConfig, identity: dict[str, Any]) -> tuple[Path, dict[str, Any]] | None:
    """The checkpoint to resume from, if there is one.

    Raises InputError if the run folder holds a run and neither resume nor overwrite is set, holds a
    run that cannot be resumed or something else, or was made by a run that differs.
    """
    folder = config.output
    checkpoint = newest_checkpoint(folder / "checkpoints")
    if (folder / MANIFEST).exists():
        read_manifest(folder, "run")
    elif folder.exists() and any(folder.iterdir()) and (config.overwrite or not checkpoint):
        raise InputError(
            f"output {folder} is not empty and no run folder (it has no {MANIFEST}): choose another"
        )
    if config.overwrite:
        return None
    if checkpoint is None:
        check_unfinished(config)
        return None
    if not config.resume:
        raise InputError(
            f"output {folder} holds a run: set resume=true to continue it, or "
            "overwrite=true to start over"
        )
    changed = differences(checkpoint[1]["identity"], identity)
    if changed and not config.allow_changes:
        raise InputError(
            f"{checkpoint[0]} was made by another run ({'; '.join(changed)}): restore these, "
            "set allow_changes=true to resume anyway, or choose another output"
        )
    return checkpoint


def check_unfinished(config: RunConfig) -> None:
    """Raises InputError if a run without a complete checkpoint has left something to be kept.

    Before its first checkpoint it has not: resume=true then starts it over.
    """
    folder = config.output
    if (folder / "model").exists() or any_checkpoint(folder / "checkpoints"):
        raise InputError(
            f"output {folder} holds a run but no complete checkpoint to resume from: set "
            "overwrite=true to start over, or choose another"
        )
    if (folder / "metrics.jsonl").exists() and not config.resume:
        raise InputError(
            f"output {folder} holds a run that has no checkpoint yet: set resume=true or "
            "overwrite=true to start it over, or choose another"
        )


def image_size(split: RadiographSplit, components: Components) -> int:
    """The side of the images in pixels, which becomes the pipeline's default size."""
    height, width = split.images([0])[0].shape
    # The VAE halves the size between its levels, the UNet again between its own.
    factor = 2 ** (len(components.vae.config.block_out_channels) - 1)
    least = factor * 2 ** (len(components.unet.config.block_out_channels) - 1)
    if height != width or height % factor or height < least:
        raise InputError(
            f"images are {width}x{height}: prepare them square, with a side divisible by {factor} "
            f"and of at least {least}"
        )
    components.unet.register_to_config(sample_size=height // factor)
    return int(height)


def choose_prediction(config: RunConfig, components: Components) -> None:
    """Set prediction type and noise schedule of the scheduler, which is saved with the model."""
    base: str = components.scheduler.config.prediction_type
    chosen = config.objective.prediction or base
    if chosen not in ("epsilon", "v_prediction"):
        raise InputError(
            f"base model {config.base} predicts {chosen!r}, which is not supported: set "
            "objective.prediction to epsilon or v_prediction, and objective.change_prediction"
        )
    if chosen != base and not config.objective.change_prediction:
        raise InputError(
            f"objective.prediction is {chosen}, but base model {config.base} predicts {base}: "
            "leave it out, or set objective.change_prediction=true to train a new one"
        )
    components.scheduler.register_to_config(prediction_type=chosen)
    choose_schedule(config, components, chosen)


def choose_schedule(config: RunConfig, components: Components, prediction: str) -> None:
    """Let the noise schedule end without signal if so configured or if the base's does.

    Raises InputError unless v is predicted: where there is no signal, the noise is known.
    """
    configured = config.objective.zero_terminal_snr
    if not configured and alpha_bars_of(components.scheduler)[-1] > 0:
        return
    if prediction != "v_prediction":
        base = f"the schedule of base {config.base}"
        schedule = "objective.zero_terminal_snr" if configured else base
        raise InputError(
            f"{schedule} ends without signal, which needs v_prediction, not {prediction}: set "
            "objective.prediction=v_prediction, and change_prediction=true if the base's is another"
        )
    components.scheduler = with_zero_terminal_snr(components.scheduler)
