"""Feature extractors by name: our own small network, published ones, and any of three libraries.

A Fréchet distance means nothing without its extractor, so each has a `Definition` that is published
with every number.
"""

from pathlib import Path
from typing import get_args

import torch

from roentgen.errors import InputError
from roentgen.vision.features.network import PIXELS, Definition, Extractor
from roentgen.vision.network_settings import ExtractorName
from roentgen.vision.published_weights import HUB, absent
from roentgen.weights import CLASSIFIERS, EXTRACTOR, shipped_or_path


def load_extractor(
    name: ExtractorName, weights: str | None = None, device: torch.device | str = "cpu"
) -> Extractor:
    """An extractor by name; `weights` is a file, a folder or "hf-hub:OWNER/NAME".

    Of roentgen, "embedded" names the embedded classifier: features of findings, blind to softness.
    Raises InputError that says how to get missing weights; only safetensors are read.
    """
    from roentgen.vision.features import published

    if name not in get_args(ExtractorName):
        known = ", ".join(get_args(ExtractorName))
        raise InputError(f"unknown extractor {name!r}; choose one of: {known}")
    if name == "roentgen":
        weights = str(shipped_or_path(weights, CLASSIFIERS) if weights else EXTRACTOR)
    elif weights is None:
        raise absent(name, "the extractor has no `weights`")
    if weights is not None and not weights.startswith(HUB) and not Path(weights).exists():
        raise absent(name, f"{weights} does not exist")
    device = torch.device(device)
    match name:
        case "roentgen":
            network = published.embedded(str(weights), device)
        case "inception":
            network = published.inception(str(weights), device)
        case "xrv":
            network = published.xrv(str(weights), device)
        case "rad-dino" | "transformers":
            network = published.transformers_model(name, str(weights), device)
        case "timm":
            network = published.timm_model(str(weights), device)
        case "clip":
            return _clip(str(weights), device)
    return network.extractor(name, device)


def _clip(weights: str, device: torch.device) -> Extractor:
    """The image tower of a CLIP model, BiomedCLIP's among them."""
    from roentgen.vision.clip import load_clip

    model = load_clip(weights, device)
    definition = Definition(
        name="clip",
        layer="image embedding of length 1",
        weights=model.weights,
        resize=f"square to {model.size}x{model.size}, bicubic with antialiasing (none if of that "
        "size)",
        pixels="standardized as the model requires, gray in three channels",
        dimension=model.dimension,
    )
    batch = max(1, PIXELS // model.size**2)
    return Extractor(definition, lambda x: torch.from_numpy(model.encode_images(x)), batch)
