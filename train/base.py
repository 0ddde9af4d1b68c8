"""What training begins with: the base model as the configuration changes it."""

from pathlib import Path
from typing import Any

from roentgen.errors import InputError
from roentgen.models.control import new_controlnet
from roentgen.models.stable_diffusion import (
    Parts,
    add_view_tokens,
    load_parts,
    model_fingerprint,
)
from roentgen.models.text_encoder import find_text_model, swap_text_encoder
from roentgen.randomness import derive_seed
from roentgen.runs import MANIFEST, fingerprint_of_files, read_manifest
from train.config import ControlnetConfig, FinetuneConfig, RunConfig


def load_base(config: RunConfig) -> Parts:
    """The base as the run begins with it. Raises InputError."""
    parts = load_parts(config.base)
    if isinstance(config, FinetuneConfig):
        change_base(config, parts)
    if isinstance(config, ControlnetConfig):
        add_controlnet(config, parts)
    return parts


def change_base(config: FinetuneConfig, parts: Parts) -> None:
    """Swap the base's text encoder and add the view tokens. Raises InputError."""
    if parts.controlnet is not None:
        raise InputError(
            f"base model {config.base} has a ControlNet, which would not fit the UNet any more: "
            "give the model that it was trained on"
        )
    parts.prompt_chunks = config.prompt_chunks
    if swap := config.swap_text_encoder:
        seed = derive_seed(config.seed, "projection")
        swap_text_encoder(parts, swap.model, max_tokens=swap.max_tokens, seed=seed)
    if any(entry.style.view_token for entry in config.mixture()):
        add_view_tokens(parts.tokenizer, parts.text_encoder)


def add_controlnet(config: ControlnetConfig, parts: Parts) -> None:
    """Give the base a ControlNet, or go on with the one that it has. Raises InputError."""
    if parts.controlnet is None:
        halvings = len(parts.vae.config.block_out_channels) - 1
        parts.controlnet = new_controlnet(
            parts.unet, config.structures, seed=config.seed, halvings=halvings
        )
        parts.structures = config.structures
    elif parts.structures != config.structures:
        raise InputError(
            f"base model {config.base} has a ControlNet of {', '.join(parts.structures)}, not of "
            f"{', '.join(config.structures)}: name its structures in their order, or give a model "
            "without one"
        )


def base_fingerprints(config: RunConfig, base: Path) -> dict[str, str]:
    """Of the base and, where it is swapped, of the text encoder."""
    found = {"base": model_fingerprint(base)}
    if swap := config.swapped():
        folder = find_text_model(swap.model)
        files = [path for path in folder.iterdir() if path.suffix in (".json", ".safetensors")]
        found["text_encoder"] = fingerprint_of_files(sorted(files))
    return found


def base_manifests(
    config: RunConfig, base: Path, fingerprints: dict[str, str]
) -> dict[str, dict[str, Any]]:
    """What the base says of itself, and the text encoder; of others' what can be known."""

    def unknown(name: str, role: str, path: str) -> dict[str, Any]:
        terms = {"name": name, "data_use": None, "may_share": False}
        said = {"kind": "model", "fingerprint": fingerprints[role], "path": path}
        return said | {"licenses": [terms]}

    if (base / MANIFEST).exists():
        found = {"base": read_manifest(base, "model")}
    else:
        found = {"base": unknown(f"as of base model {config.base}", "base", str(base))}
    if swap := config.swapped():
        model = swap.model
        found["text_encoder"] = unknown(f"as of text model {model}", "text_encoder", model)
    return found
