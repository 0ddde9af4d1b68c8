"""Base model of a run, with the text encoder, view tokens and ControlNet that it starts with."""

from pathlib import Path
from typing import Any

from roentgen.diffusion.backbones.model_folder import find_controlnet, model_fingerprint
from roentgen.diffusion.backbones.stable_diffusion import (
    add_view_tokens,
    load_components,
    load_controlnet,
)
from roentgen.diffusion.components import Components
from roentgen.diffusion.conditions.controlnet import new_controlnet
from roentgen.diffusion.conditions.record_conditions import new_network
from roentgen.diffusion.conditions.text_encoder import find_text_model, swap_text_encoder
from roentgen.errors import InputError
from roentgen.manifest import fingerprint_of_files, read_manifest, unstated_license
from roentgen.randomness import derive_seed
from roentgen.storage import MANIFEST
from train.config import RunConfig


def load_base(config: RunConfig) -> Components:
    """The components that training starts with. Raises InputError."""
    components = load_components(config.base)
    if config.condition_structures():
        add_controlnet(config, components)
    else:
        change_base(config, components)
    return components


def change_base(config: RunConfig, components: Components) -> None:
    """Swap the base's text encoder and add the view tokens. Raises InputError."""
    if components.controlnet is not None:
        raise InputError(
            f"base model {config.base} has a ControlNet, which would not fit the UNet any more: "
            "give the model that it was trained on"
        )
    components.prompt_chunks = config.chunks() or components.prompt_chunks
    if swap := config.swapped():
        seed = derive_seed(config.seed, "projection")
        swap_text_encoder(components, swap.model, max_tokens=swap.max_tokens, seed=seed)
        components.condition_networks = {}  # they fit the base's text encoder
    add_condition_networks(config, components)
    if any(entry.style.view_token for entry in config.mixture()):
        add_view_tokens(components.tokenizer, components.text_encoder)


def add_condition_networks(config: RunConfig, components: Components) -> None:
    """Give the base the networks that it lacks. Raises InputError for one that is not named."""
    networks = components.condition_networks
    names = list(config.dropouts())
    if lost := ", ".join(name for name in networks if name not in names):
        raise InputError(f"base model {config.base} is conditioned on {lost}: add to conditions")
    for name in names:
        networks[name] = networks.get(name) or new_network(name, components, config.seed)


def add_controlnet(config: RunConfig, components: Components) -> None:
    """Give the base a ControlNet unless it has one. Raises InputError."""
    structures, start = config.condition_structures(), config.first_controlnet()
    where = f"base model {config.base}"
    if start is not None:
        where = f"initial_controlnet {start}"
        found = load_controlnet(find_controlnet(start))
        components.controlnet, components.structures = found
        check_same_form(where, components)
    if components.controlnet is None:
        halvings = len(components.vae.config.block_out_channels) - 1
        components.controlnet = new_controlnet(
            components.unet, structures, seed=config.seed, halvings=halvings
        )
        components.structures = structures
    elif components.structures != structures:
        raise InputError(
            f"{where} has a ControlNet of {', '.join(components.structures)}, not of "
            f"{', '.join(structures)}: name its structures in their order, or give a model without "
            "one"
        )


def check_same_form(where: str, components: Components) -> None:
    """Raises InputError unless the ControlNet fits the UNet and the VAE."""
    assert components.controlnet is not None
    for name in ("in_channels", "block_out_channels", "layers_per_block", "cross_attention_dim"):
        own, required = (
            getattr(net.config, name) for net in (components.controlnet, components.unet)
        )
        if own != required:
            raise InputError(
                f"the ControlNet of {where} does not fit the UNet of the base: its {name} is "
                f"{own}, not {required}"
            )
    own = len(components.controlnet.config.conditioning_embedding_out_channels)
    required = len(components.vae.config.block_out_channels)
    if own != required:
        raise InputError(
            f"the ControlNet of {where} does not fit the VAE of the base: it halves masks "
            f"{own - 1} times, not {required - 1}"
        )


def base_fingerprints(config: RunConfig, base: Path) -> dict[str, str]:
    """Fingerprints of the base, of a swapped text encoder and of an initial ControlNet."""
    found = {"base": model_fingerprint(base)}
    if swap := config.swapped():
        folder = find_text_model(swap.model)
        files = [path for path in folder.iterdir() if path.suffix in (".json", ".safetensors")]
        found["text_encoder"] = fingerprint_of_files(sorted(files))
    if start := config.first_controlnet():
        found["controlnet"] = model_fingerprint(find_controlnet(start))
    return found


def base_manifests(
    config: RunConfig, base: Path, fingerprints: dict[str, str]
) -> dict[str, dict[str, Any]]:
    """Manifests of base, text encoder and ControlNet; of models not ours what can be known."""

    def unknown(name: str, role: str, path: str) -> dict[str, Any]:
        manifest = {"kind": "model", "fingerprint": fingerprints[role], "path": path}
        return manifest | {"licenses": [unstated_license(name)]}

    if (base / MANIFEST).exists():
        found = {"base": read_manifest(base, "model")}
    else:
        found = {"base": unknown(f"base model {config.base}", "base", str(base))}
    if swap := config.swapped():
        model = swap.model
        found["text_encoder"] = unknown(f"text model {model}", "text_encoder", model)
    if start := config.first_controlnet():
        found["controlnet"] = read_manifest(find_controlnet(start), "model")
    return found
