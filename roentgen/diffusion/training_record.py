"""Training record of a model, which sampling follows: prompt style, prompt length, preparation."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from roentgen.config import config_from_dict
from roentgen.errors import InputError
from roentgen.manifest import read_manifest
from roentgen.prompts.grammar import PromptStyle
from roentgen.prompts.token_lengths import TooLong


def trained_style(model: dict[str, Any]) -> PromptStyle:
    """The prompt style a model was trained with, of a mixture the most frequent; else the default.

    Raises InputError for a manifest whose prompt style cannot be read.
    """
    try:
        mixture = style_mixture(training_config(model))
        return style_of(max(mixture, key=lambda entry: float(entry["weight"]))["style"])
    except (AttributeError, InputError, KeyError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"the manifest of model {model.get('path', '')} has a prompt style that cannot be "
            f"read ({reason}): set style"
        ) from None


def style_of(recorded: Mapping[str, Any]) -> PromptStyle:
    """A prompt style from the plain values of a record. Raises InputError for others."""
    return config_from_dict(PromptStyle, recorded)


def training_config(model: Mapping[str, Any]) -> Any:
    """The configuration of the program that trained a model; {} if unknown."""
    provenance = model["provenance"]
    return provenance.get("training_config") or provenance.get("config") or {}


def style_mixture(config: Any) -> list[dict[str, Any]]:
    """The prompt styles of a training configuration ({"style", "weight"}), as plain values."""
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


def describe_training_data(dataset: Mapping[str, Any], name: str, split: str) -> dict[str, Any]:
    """What a model's record says of its training split, by the manifest of the dataset.

    A filter of the training may have excluded some of these radiographs.
    """
    counts = dataset["counts"][split]
    kept = ("radiographs", "patients", "views", "reports", "sexes", "ages", "races", "sources")
    described = {key: counts[key] for key in kept if key in counts}
    return {"name": name, "split": split, "preparation": dataset.get("preparation"), **described}


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
