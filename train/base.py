"""What training begins with: the base model as the configuration changes it."""

from pathlib import Path
from typing import Any

from roentgen.models.stable_diffusion import (
    Parts,
    add_view_tokens,
    load_parts,
    model_fingerprint,
)
from roentgen.models.text_encoder import find_text_model, swap_text_encoder
from roentgen.randomness import derive_seed
from roentgen.runs import MANIFEST, fingerprint_of_files, read_manifest
from train.config import FinetuneConfig


def load_base(config: FinetuneConfig) -> Parts:
    """The base with its text encoder swapped and the view tokens added. Raises InputError."""
    parts = load_parts(config.base)
    parts.prompt_chunks = config.prompt_chunks
    if swap := config.swap_text_encoder:
        seed = derive_seed(config.seed, "projection")
        swap_text_encoder(parts, swap.model, max_tokens=swap.max_tokens, seed=seed)
    if any(entry.style.view_token for entry in config.mixture()):
        add_view_tokens(parts.tokenizer, parts.text_encoder)
    return parts


def base_fingerprints(config: FinetuneConfig, base: Path) -> dict[str, str]:
    """Of the base and, where it is swapped, of the text encoder."""
    found = {"base": model_fingerprint(base)}
    if config.swap_text_encoder:
        folder = find_text_model(config.swap_text_encoder.model)
        files = [path for path in folder.iterdir() if path.suffix in (".json", ".safetensors")]
        found["text_encoder"] = fingerprint_of_files(sorted(files))
    return found


def base_manifests(
    config: FinetuneConfig, base: Path, fingerprints: dict[str, str]
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
    if config.swap_text_encoder:
        model = config.swap_text_encoder.model
        found["text_encoder"] = unknown(f"as of text model {model}", "text_encoder", model)
    return found
