"""Training record of a model, which sampling follows: prompt style, prompt length, preparation."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from roentgen.diffusion.backbones.model_folder import find_model, model_fingerprint
from roentgen.errors import InputError
from roentgen.manifest import License, read_manifest
from roentgen.prompts.grammar import PromptStyle
from roentgen.prompts.token_lengths import TooLong
from roentgen.storage import MANIFEST
from roentgen.weights import PIPELINES, shipped_or_path


def model_manifest(model: str) -> dict[str, Any]:
    """A model's manifest; for a model of other origin, one with the facts that are known."""
    folder = find_model(model)
    if (folder / MANIFEST).exists():
        return read_manifest(folder, "model")
    terms = License(
        name="unknown",
        data_use=f"The model {model} does not say: its own license applies.",
        may_share=False,
    )
    return {
        "kind": "model",
        "fingerprint": model_fingerprint(folder),
        "licenses": [asdict(terms)],
        "provenance": {},
        "path": str(folder),
    }


def recorded_model(provenance: Mapping[str, Any]) -> Path | None:
    """The folder of the model that a provenance names, if it is there."""
    source = (provenance.get("made_from") or {}).get("model") or {}
    path = source.get("path")
    folder = shipped_or_path(str(path), PIPELINES) if path else None
    return folder if folder is not None and folder.is_dir() else None


def trained_style(model: dict[str, Any]) -> PromptStyle:
    """The prompt style a model was trained with, of a mixture the most frequent; else the default.

    Raises InputError for a manifest whose prompt style cannot be read.
    """
    try:
        mixture = _mixture(training_config(model))
        return PromptStyle(**max(mixture, key=lambda entry: float(entry["weight"]))["style"])
    except (AttributeError, InputError, KeyError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"the manifest of model {model.get('path', '')} has a prompt style that cannot be "
            f"read ({reason}): set style"
        ) from None


def training_config(model: Mapping[str, Any]) -> Any:
    """The configuration of the program that trained a model; {} if unknown."""
    provenance = model["provenance"]
    return provenance.get("training_config") or provenance.get("config") or {}


def _mixture(config: Any) -> list[dict[str, Any]]:
    one = config.get("prompt") or config.get("style") or {}  # of finetune, of controlnet
    return config.get("styles") or [{"style": one, "weight": 1}]


def trained_long_prompts(model: dict[str, Any]) -> TooLong:
    """The treatment of prompts beyond the token limit in training; "refuse" if unknown."""
    config = training_config(model)
    found = config.get("long_prompts") if isinstance(config, dict) else None
    return "truncate" if found == "truncate" else "refuse"


def trained_split(model: dict[str, Any]) -> str | None:
    """The dataset split that a model was trained on; None if it is not recorded."""
    config = training_config(model)
    data = config.get("data", config)
    return data.get("split") or data.get("train_split") if isinstance(data, dict) else None


def trained_preparation(model: dict[str, Any]) -> dict[str, Any]:
    """The preparation ({"size", "fit"}) of the images a model was trained on; {} if unknown.

    The dataset that the model names must still be there, unchanged.
    """
    sources = model["provenance"].get("made_from")
    source = sources.get("dataset") if isinstance(sources, dict) else None
    if not isinstance(source, dict) or not source.get("path"):
        return {}
    try:
        dataset = read_manifest(Path(source["path"]), "dataset")
    except InputError:
        return {}
    same = dataset["fingerprint"] == source.get("fingerprint")
    return dict(dataset.get("preparation") or {}) if same else {}
