"""What training begins with: the base model as the configuration changes it."""

from pathlib import Path
from typing import Any

from roentgen.diffusion.backbones.stable_diffusion import (
    add_view_tokens,
    find_controlnet,
    load_components,
    load_controlnet,
    model_fingerprint,
)
from roentgen.diffusion.components import Components
from roentgen.diffusion.conditions.controlnet import new_controlnet
from roentgen.diffusion.conditions.text_encoder import find_text_model, swap_text_encoder
from roentgen.errors import InputError
from roentgen.manifest import fingerprint_of_files, read_manifest
from roentgen.randomness import derive_seed
from roentgen.storage import MANIFEST
from train.config import ControlnetConfig, FinetuneConfig, RunConfig


def load_base(config: RunConfig) -> Components:
    """The base as the run begins with it. Raises InputError."""
    components = load_components(config.base)
    if isinstance(config, FinetuneConfig):
        change_base(config, components)
    if isinstance(config, ControlnetConfig):
        add_controlnet(config, components)
    return components


def change_base(config: FinetuneConfig, components: Components) -> None:
    """Swap the base's text encoder and add the view tokens. Raises InputError."""
    if components.controlnet is not None:
        raise InputError(
            f"base model {config.base} has a ControlNet, which would not fit the UNet any more: "
            "give the model that it was trained on"
        )
    components.prompt_chunks = config.prompt_chunks
    if swap := config.swap_text_encoder:
        seed = derive_seed(config.seed, "projection")
        swap_text_encoder(components, swap.model, max_tokens=swap.max_tokens, seed=seed)
    if any(entry.style.view_token for entry in config.mixture()):
        add_view_tokens(components.tokenizer, components.text_encoder)


def add_controlnet(config: ControlnetConfig, components: Components) -> None:
    """Give the base a ControlNet, or go on with the one that it has. Raises InputError."""
    where = f"base model {config.base}"
    if config.start is not None:
        where = f"start {config.start}"
        components.controlnet, components.structures = load_controlnet(
            find_controlnet(config.start)
        )
        check_same_form(where, components)
    if components.controlnet is None:
        halvings = len(components.vae.config.block_out_channels) - 1
        components.controlnet = new_controlnet(
            components.unet, config.structures, seed=config.seed, halvings=halvings
        )
        components.structures = config.structures
    elif components.structures != config.structures:
        raise InputError(
            f"{where} has a ControlNet of {', '.join(components.structures)}, not of "
            f"{', '.join(config.structures)}: name its structures in their order, or give a model "
            "without one"
        )


def check_same_form(where: str, components: Components) -> None:
    """Raise InputError unless the ControlNet is of the UNet's form."""
    assert components.controlnet is not None
    for name in ("in_channels", "block_out_channels", "layers_per_block", "cross_attention_dim"):
        own, wanted = (
            getattr(net.config, name) for net in (components.controlnet, components.unet)
        )
        if own != wanted:
            raise InputError(
                f"the ControlNet of {where} does not fit the UNet of the base: its {name} is "
                f"{own}, not {wanted}"
            )
    own = len(components.controlnet.config.conditioning_embedding_out_channels)
    wanted = len(components.vae.config.block_out_channels)
    if own != wanted:
        raise InputError(
            f"the ControlNet of {where} does not fit the VAE of the base: it halves masks "
            f"{own - 1} times, not {wanted - 1}"
        )


def base_fingerprints(config: RunConfig, base: Path) -> dict[str, str]:
    """Of the base, of a text encoder in place of its own, and of a ControlNet to go on from."""
    found = {"base": model_fingerprint(base)}
    if swap := config.swapped():
        folder = find_text_model(swap.model)
        files = [path for path in folder.iterdir() if path.suffix in (".json", ".safetensors")]
        found["text_encoder"] = fingerprint_of_files(sorted(files))
    if start := config.goes_on_from():
        found["controlnet"] = model_fingerprint(find_controlnet(start))
    return found


def base_manifests(
    config: RunConfig, base: Path, fingerprints: dict[str, str]
) -> dict[str, dict[str, Any]]:
    """What base, text encoder and ControlNet say of themselves; of others' what can be known."""

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
    if start := config.goes_on_from():
        found["controlnet"] = read_manifest(find_controlnet(start), "model")
    return found
