"""Disk space that a run needs, and the check that it is free."""

import math
from collections.abc import Sequence
from pathlib import Path

from roentgen.diffusion.components import Components
from roentgen.storage import check_free_space
from train.config import RunConfig
from train.inputs import SplitInputs
from train.optim.lora import trained_weights
from train.setup.conditions import training_conditions


def space_needed(
    config: RunConfig, components: Components, splits: Sequence[SplitInputs]
) -> dict[str, int]:
    """Bytes of checkpoints, averages, the model and the caches of the splits."""
    latents = sum(len(of.images) for of in splits)
    prompts = sum(len(of.prompts.ids) for of in splits)
    size = splits[0].images.size
    trained = sum(trained_weights(components, config.rates(), config.adapters()).values())
    # Copies of the weights in a checkpoint: 8-bit moments have a scale for each 256, and Adafactor
    # keeps two thirds of a moment of a 3x3 kernel, next to nothing of a matrix.
    moments = {"adamw": 2.0, "adamw8bit": 2 * (1 + 4 / 256) / 4, "adafactor": 0.6}
    posthoc = config.ema.posthoc if config.ema else None
    copies = 1 + bool(config.ema) + 2 * bool(posthoc) + moments[config.optimizer.name]
    snapshots = 2 * math.ceil(config.steps / posthoc.every) if posthoc else 0
    saved = min(config.checkpoint.keep + 1, math.ceil(config.steps / config.checkpoint.every))
    nets = components.networks().values()
    weights = sum(weight.numel() for net in nets for weight in net.parameters())
    side = size // 2 ** (len(components.vae.config.block_out_channels) - 1)
    caches = latents * 2 * components.vae.config.latent_channels * side**2 * 2  # two in float16
    if config.rates().get("text_encoder") is None and config.data.cache_text:
        projection, unet = components.projection, components.unet
        width = projection.in_features if projection else unet.config.cross_attention_dim
        tokens = components.prompt_chunks * components.tokenizer.model_max_length
        caches += prompts * tokens * width * 2  # in float16
    caches += latents * sum(of.bytes_per_image(size) for of in training_conditions(config))
    return {
        "checkpoints": int(trained * 4 * copies * saved),
        "averages": trained * 4 * snapshots,
        "model": weights * (2 if config.save_precision == "fp16" else 4),
        "caches": caches,
    }


def check_space(config: RunConfig, needed: dict[str, int]) -> None:
    """Raises InputError if a disk is too full for the files that are still missing."""
    run = sum(needed.values())
    if config.data.caches:
        run -= needed["caches"]
        check_free_space(config.data.caches, needed["caches"] - _taken(config.data.caches))
    check_free_space(config.output, run - _taken(config.output))


def _taken(folder: Path) -> int:
    """Bytes of the files below a folder that is resumed, replaced or added to."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
