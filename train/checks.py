"""What is checked before any work: that data, base model and run folder fit the configuration."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roentgen.config import config_to_dict
from roentgen.data.dataset import (
    RadiographDataset,
    RadiographSplit,
    check_patients_disjoint,
    open_dataset,
)
from roentgen.errors import InputError
from roentgen.models.conditioning import token_counts
from roentgen.models.stable_diffusion import (
    Parts,
    add_view_tokens,
    find_model,
    load_parts,
    model_fingerprint,
)
from roentgen.runs import MANIFEST, check_free_space, check_writable, read_manifest
from train.checkpoint import differences, newest_checkpoint
from train.config import FinetuneConfig
from train.examples import Prompts
from train.kept import KeptSplit, keep
from train.validation import check_preview

# What may change between a checkpoint and the run that goes on from it: it does not change what is
# learnt. Folders are compared by fingerprint.
FREE = {"base", "output", "checkpoint", "validation", "preview", "log_every"}
FREE |= {"resume", "allow_changes", "overwrite", "xformers"}


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What a run works with, found to fit."""

    dataset: RadiographDataset
    split: KeptSplit
    prompts: Prompts
    held_out: tuple[KeptSplit, Prompts] | None
    base: Path
    parts: Parts
    size: int  # of the images, pixels
    prediction: str
    identity: dict[str, Any]  # what a checkpoint must agree with to be resumed from
    checkpoint: tuple[Path, dict[str, Any]] | None


def check_inputs(config: FinetuneConfig) -> Inputs:
    """Open all that the configuration names; nothing is written. Raises InputError."""
    check_writable(config.output)
    dataset = open_dataset(config.data.folder)
    whole, held_whole = open_splits(config, dataset)
    base = find_model(config.base)
    identity = identity_of(config, dataset.fingerprint, model_fingerprint(base))
    checkpoint = choose_start(config, identity)
    parts = load_parts(config.base)
    size = image_size(whole, parts)
    prediction = choose_prediction(config, parts)
    if any(entry.style.view_token for entry in config.mixture()):
        add_view_tokens(parts.tokenizer, parts.text_encoder)
    if config.preview:
        check_preview(config.preview, parts)
    split = keep_split(config, whole, parts)
    held_out = keep_split(config, held_whole, parts) if held_whole else None
    check_batch(config, split)
    images = len(split) + (len(held_out) if held_out else 0)
    needed = space_needed(config, parts, images, size)
    check_free_space(config.output, needed - space_taken(config.output))

    def prompts(part: KeptSplit) -> Prompts:
        styles = [entry.style for entry in config.mixture()]
        return Prompts(part, styles, parts.tokenizer, config.long_prompts)

    return Inputs(
        dataset=dataset,
        split=split,
        prompts=prompts(split),
        held_out=(held_out, prompts(held_out)) if held_out else None,
        base=base,
        parts=parts,
        size=size,
        prediction=prediction,
        identity=identity,
        checkpoint=checkpoint,
    )


def open_splits(
    config: FinetuneConfig, dataset: RadiographDataset
) -> tuple[RadiographSplit, RadiographSplit | None]:
    """The split to train on and the held-out one, which share no patient."""
    split = dataset.split(config.data.split)
    check_batch(config, split)
    if config.validation is None:
        return split, None
    held_out = dataset.split(config.data.validate_split)
    names = config.data.split, config.data.validate_split
    check_patients_disjoint(split.patients(), held_out.patients(), names)
    return split, held_out


def check_batch(config: FinetuneConfig, split: RadiographSplit | KeptSplit) -> None:
    """A batch must not be larger than what it is drawn from."""
    if config.batch > len(split):
        kept = " that data.keep keeps" if config.data.keep else ""
        raise InputError(
            f"batch {config.batch} is larger than split {config.data.split!r} of "
            f"{config.data.folder}, which has {len(split)} radiographs{kept}"
        )


def keep_split(config: FinetuneConfig, split: RadiographSplit, parts: Parts) -> KeptSplit:
    """What data.keep keeps of a split; tokens are those of the run's own prompts."""
    styles = [entry.style for entry in config.mixture()]

    def count(text: str) -> int:
        return token_counts(parts.tokenizer, [text])[0]

    return keep(split, config.data.keep, count, styles)


def identity_of(config: FinetuneConfig, dataset: str, base: str) -> dict[str, Any]:
    """What a checkpoint and the run that resumes from it must agree in."""
    settings = {key: value for key, value in config_to_dict(config).items() if key not in FREE}
    settings["data"].pop("folder")
    return {"config": settings, "dataset": dataset, "base": base}


def choose_start(
    config: FinetuneConfig, identity: dict[str, Any]
) -> tuple[Path, dict[str, Any]] | None:
    """The checkpoint to go on from, if there is one.

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
    traces = [t for t in ("model", "checkpoints", "metrics.jsonl") if (folder / t).exists()]
    if traces and checkpoint is None:
        raise InputError(
            f"output {folder} holds a run ({', '.join(traces)}) but no whole checkpoint to go on "
            "from: set overwrite=true to begin anew, or choose another"
        )
    if checkpoint is None:
        return None
    if not config.resume:
        raise InputError(
            f"output {folder} holds a run: set resume=true to go on or overwrite=true to begin anew"
        )
    changed = differences(checkpoint[1]["identity"], identity)
    if changed and not config.allow_changes:
        raise InputError(
            f"{checkpoint[0]} was made by another run ({'; '.join(changed)}): restore these, "
            "set allow_changes=true to go on all the same, or choose another output"
        )
    return checkpoint


def space_needed(config: FinetuneConfig, parts: Parts, images: int, size: int) -> int:
    """Bytes that a run folder grows to: checkpoints, the model, and the images' latents."""
    rates = config.learning_rate
    nets = {"unet": parts.unet, "text_encoder": parts.text_encoder, "vae": parts.vae}
    weights: dict[str, int] = {
        name: sum(p.numel() for p in net.parameters()) for name, net in nets.items()
    }
    trained = sum(weights[name] for name in ("unet", "text_encoder") if getattr(rates, name))
    copies = 1 + bool(config.ema) + (2 if config.optimizer.name == "adamw" else 0)
    saved = min(config.checkpoint.keep + 1, math.ceil(config.steps / config.checkpoint.every))
    model = sum(weights.values()) * (2 if config.result == "fp16" else 4)
    side = size // 2 ** (len(parts.vae.config.block_out_channels) - 1)
    latents = images * 2 * parts.vae.config.latent_channels * side**2 * 2  # two in float16
    return int(trained * 4 * copies * saved + model + latents)


def space_taken(folder: Path) -> int:
    """Bytes of the files below a folder, which is resumed or replaced."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def image_size(split: RadiographSplit, parts: Parts) -> int:
    """The images' side; the pipeline's default size becomes it."""
    height, width = split.images([0])[0].shape
    # The VAE halves the size between its levels, the UNet again between its own.
    factor = 2 ** (len(parts.vae.config.block_out_channels) - 1)
    least = factor * 2 ** (len(parts.unet.config.block_out_channels) - 1)
    if height != width or height % factor or height < least:
        raise InputError(
            f"images are {width}x{height}: prepare them square, with a side divisible by {factor} "
            f"and of at least {least}"
        )
    parts.unet.register_to_config(sample_size=height // factor)
    return int(height)


def choose_prediction(config: FinetuneConfig, parts: Parts) -> str:
    """What the UNet predicts; the scheduler that is saved with the model says so."""
    base: str = parts.scheduler.config.prediction_type
    chosen = config.objective.prediction or base
    if chosen not in ("epsilon", "v_prediction"):
        raise InputError(
            f"base model {config.base} predicts {chosen!r}, which is not known here: set "
            "objective.prediction to epsilon or v_prediction, and objective.change_prediction"
        )
    if chosen != base and not config.objective.change_prediction:
        raise InputError(
            f"objective.prediction is {chosen}, but base model {config.base} predicts {base}: "
            "leave it out, or set objective.change_prediction=true to teach the model anew"
        )
    parts.scheduler.register_to_config(prediction_type=chosen)
    return chosen
