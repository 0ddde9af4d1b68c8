"""Model folders of Stable Diffusion 1.x and 2.x: found, fetched and checked; nothing is loaded."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from roentgen.errors import InputError
from roentgen.manifest import (
    fingerprint_of_files,
    read_manifest,
    unstated_license,
    verify_files,
)
from roentgen.storage import CHECKSUMS, MANIFEST
from roentgen.untrusted_files import read_json
from roentgen.weights import CONTROLNETS, PIPELINES, shipped_or_path

COMPONENTS = ("vae", "unet", "text_encoder", "tokenizer", "scheduler")
CONTROLNET = "controlnet"  # a component that some pipelines have in addition
CONDITIONS = "conditions"  # the folder of the networks of other conditions, a file each
# The library of each component in model_index.json, and its class where there is one alone.
CLASSES: dict[str, tuple[str, str | None]] = {
    "vae": ("diffusers", "AutoencoderKL"),
    "unet": ("diffusers", "UNet2DConditionModel"),
    "text_encoder": ("transformers", None),
    "tokenizer": ("transformers", None),
    "scheduler": ("diffusers", None),
    CONTROLNET: ("diffusers", "ControlNetModel"),
}
# Files fetched from a repository besides weights: configurations and our manifest, never pickles.
PATTERNS = (
    "model_index.json",
    MANIFEST,
    CHECKSUMS,
    *(f"{component}/*.json" for component in (*COMPONENTS, CONTROLNET)),
)
PATTERNS += ("tokenizer/*.txt", "tokenizer/*.model")
# Weights, whole or in shards; "fp16" is the variant that some repositories have alone.
WEIGHTS = r"(diffusion_pytorch_model|model)(\.fp16)?(-\d+-of-\d+)?(\.fp16)?\.safetensors"


def find_model(base: str) -> Path:
    """The local folder of a base: "tiny", a folder, or a repository id of the hub.

    Of a repository `owner/name@revision` is a certain one: a commit, tag or branch.

    Raises InputError where there is neither a folder nor a repository that can be fetched, and
    where it is no pipeline of Stable Diffusion 1.x or 2.x, naming what is missing.
    """
    folder = shipped_or_path(base, PIPELINES)
    if base not in PIPELINES and not folder.is_dir():
        folder = _fetch(base)
    _check_pipeline(folder)
    return folder


def check_model(base: str) -> None:
    """Raise InputError as `find_model` does, but fetch nothing."""
    folder = shipped_or_path(base, PIPELINES)
    if base in PIPELINES or folder.is_dir():
        _check_pipeline(folder)
    else:
        _repository(base)


def _repository(base: str) -> tuple[str, str | None]:
    """The repository that a base names, and its revision. Raises InputError if it names none."""
    repository, _, revision = base.partition("@")
    owner, _, name = repository.partition("/")
    if not (owner and name) or "/" in name or base.startswith((".", "~")):
        raise InputError(
            f"base model {base!r} not found: give a pipeline folder, a repository id like "
            "'owner/name' or 'owner/name@revision', or 'tiny'"
        )
    return repository, revision or None


def _fetch(base: str) -> Path:
    """Fetch a repository of the hub, or find it among those fetched before."""
    repository, revision = _repository(base)
    import huggingface_hub as hub

    try:
        weights = weight_files(hub.list_repo_files(repository, revision=revision))
        patterns = [*PATTERNS, *weights]
        return Path(hub.snapshot_download(repository, revision=revision, allow_patterns=patterns))
    except Exception as error:  # the hub, its network and its cache each have their own
        try:
            return Path(hub.snapshot_download(repository, revision=revision, local_files_only=True))
        except Exception:
            reason = type(error).__name__
        raise InputError(
            f"base model {base!r} is no folder here and cannot be fetched from the hub ({reason}): "
            "give a pipeline folder, or fetch the repository first where there is a network"
        ) from error


def weight_files(names: Iterable[str]) -> list[str]:
    """The weight files: each component's plain ones, or the fp16 ones of a component without."""
    names = list(names)
    chosen = [name for name in names if re.fullmatch(rf"{CONDITIONS}/\w+\.safetensors", name)]
    for component in ("vae", "unet", "text_encoder", CONTROLNET):
        found = [name for name in names if re.fullmatch(f"{component}/{WEIGHTS}", name)]
        chosen += [name for name in found if ".fp16" not in name] or found
    return chosen


def find_controlnet(model: str) -> Path:
    """The folder whose ControlNet is meant: "tiny", or a pipeline that `train.controlnet` made.

    Raises InputError for one that has none.
    """
    folder = shipped_or_path(model, CONTROLNETS)
    if not (folder / CONTROLNET).is_dir() or not (folder / MANIFEST).exists():
        raise InputError(
            f"{folder} has no ControlNet that train.controlnet has made: give its model folder, "
            "or 'tiny'"
        )
    return folder


def _check_pipeline(folder: Path) -> None:
    """Raise InputError unless a folder looks like a Stable Diffusion 1.x or 2.x pipeline."""
    if not (folder / "model_index.json").exists():
        raise InputError(f"{folder} is no diffusers pipeline: it has no model_index.json")
    verify_files(folder, "model", "model_index.json", "unet/config.json")
    index = read_component_json(folder, "model_index.json")
    for component in (*COMPONENTS, *(c for c in (CONTROLNET,) if c in index)):
        named = index.get(component)
        if not isinstance(named, list) or len(named) != 2:
            raise InputError(f"base model {folder} lacks {component} in model_index.json")
        library, name = CLASSES[component]
        if named[0] != library or name not in (None, named[1]):
            raise InputError(
                f"base model {folder} names {named} as its {component} in model_index.json: "
                f"{name or 'a class'} of {library} is needed"
            )
        if not (folder / component).is_dir():
            raise InputError(
                f"base model {folder} has no {component}: a pipeline needs all of {COMPONENTS}"
            )
    unet = read_component_json(folder, "unet/config.json")
    if index.get("text_encoder_2") or unet.get("addition_embed_type"):
        raise InputError(
            f"base model {folder} has a second text encoder, as Stable Diffusion XL: give one of "
            "the 1.x or 2.x line"
        )
    if unet.get("in_channels", 4) != 4:
        raise InputError(
            f"the UNet of base model {folder} takes {unet['in_channels']} channels, not 4: give a "
            "text-to-image model, not one for inpainting, depth or upscaling"
        )


def read_component_json(folder: Path, name: str) -> dict[str, Any]:
    """A configuration of a pipeline."""
    try:
        return dict(read_json(folder / name))
    except OSError as error:
        reason = error.strerror or str(error)
    except (ValueError, TypeError):
        reason = "it is not valid JSON"
    raise InputError(f"cannot read {name} of base model {folder}: {reason}")


def pipeline_fingerprint(folder: Path) -> str:
    """Fingerprint of the files of a pipeline's components, ignoring other files in the folder."""
    components = [
        component
        for component in (*COMPONENTS, CONTROLNET, CONDITIONS)
        if (folder / component).is_dir()
    ]
    files = [
        path
        for component in components
        for path in (folder / component).iterdir()
        if path.is_file()
    ]
    return fingerprint_of_files([folder / "model_index.json", *files])


def model_fingerprint(folder: Path) -> str:
    """The fingerprint of a model folder: its manifest's, or that of its files if it has none."""
    if (folder / MANIFEST).exists():
        return str(read_manifest(folder, "model")["fingerprint"])
    return pipeline_fingerprint(folder)


def model_manifest(model: str) -> dict[str, Any]:
    """A model's manifest; for a model of other origin, one with the facts that are known."""
    folder = find_model(model)
    if (folder / MANIFEST).exists():
        return read_manifest(folder, "model")
    return {
        "kind": "model",
        "fingerprint": model_fingerprint(folder),
        "licenses": [unstated_license(f"base model {model}")],
        "provenance": {},
        "path": str(folder),
    }


def recorded_model(provenance: Mapping[str, Any]) -> Path | None:
    """The folder of the model that a provenance names, if it is there."""
    source = (provenance.get("made_from") or {}).get("model") or {}
    path = source.get("path")
    folder = shipped_or_path(str(path), PIPELINES) if path else None
    return folder if folder is not None and folder.is_dir() else None
