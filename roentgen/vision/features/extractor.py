"""Feature extractors by name: our own small network, published ones, and any of three libraries.

A Fréchet distance means nothing without what it was computed on, so each extractor carries a
`Definition` that goes beside every number.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from roentgen.errors import InputError
from roentgen.vision.published_weights import HUB, absent
from roentgen.weights import EXTRACTOR

ExtractorName = Literal["roentgen", "inception", "xrv", "rad-dino", "clip", "timm", "transformers"]
_PIXELS = 64 * 224**2  # of a batch: memory is bounded whatever a network reads


@dataclass(frozen=True, kw_only=True)
class Definition:
    """What a feature is: two numbers compare only where all of this is the same."""

    name: str
    layer: str
    weights: str  # fingerprint of the files
    resize: str
    pixels: str
    dimension: int

    def __str__(self) -> str:
        return (
            f"extractor {self.name} ({self.layer}, d = {self.dimension}, weights {self.weights}), "
            f"resize {self.resize}, pixels {self.pixels}"
        )


class Extractor:
    """Turns square (N, H, W) uint8 images into (N, d) float32 features; `definition` says which."""

    def __init__(
        self,
        definition: Definition,
        encode: Callable[[NDArray[np.uint8]], Tensor],
        batch: int,
    ) -> None:
        self.definition = definition
        self._encode, self._batch = encode, batch

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Square images only: nothing is squashed. Batches are cut to bound memory."""
        if images.ndim != 3 or images.shape[1] != images.shape[2]:
            raise InputError(f"features need square gray images, not {images.shape[1:]}")
        parts = []
        with torch.inference_mode():
            for start in range(0, len(images), self._batch):
                parts.append(self._encode(images[start : start + self._batch]).float().cpu())
        return torch.cat(parts).numpy()


@dataclass(frozen=True, kw_only=True)
class Network:
    """What an extractor is made of: a network and how its pixels are prepared."""

    layer: str
    weights: str
    size: int  # pixels a side
    pixels: str
    dimension: int
    encode: Callable[[Tensor], Tensor]  # (n, 1, size, size) float32 in [0, 255] -> (n, d)
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"

    def extractor(self, name: str, device: torch.device) -> Extractor:
        """The network with its resizing, which keeps the square and leaves its size alone."""
        batch = max(1, _PIXELS // self.size**2)

        def encode(images: NDArray[np.uint8]) -> Tensor:
            x = torch.from_numpy(np.ascontiguousarray(images)).to(device).float().unsqueeze(1)
            if x.shape[-1] != self.size:
                x = functional.interpolate(x, self.size, mode=self.interpolation, antialias=True)
                x = x.clamp(0, 255)
            return self.encode(x.contiguous(memory_format=torch.channels_last))

        definition = Definition(
            name=name,
            layer=self.layer,
            weights=self.weights,
            resize=f"square to {self.size}x{self.size}, {self.interpolation} with antialiasing "
            "(none if of that size)",
            pixels=self.pixels,
            dimension=self.dimension,
        )
        return Extractor(definition, encode, batch)


def load_extractor(
    name: ExtractorName, weights: str | None = None, device: torch.device | str = "cpu"
) -> Extractor:
    """An extractor by name; `weights` is a file, a folder or "hf-hub:OWNER/NAME".

    Raises InputError that says how to bring weights that are absent; only safetensors are read.
    """
    from roentgen.vision.features import published

    if name not in get_args(ExtractorName):
        known = ", ".join(get_args(ExtractorName))
        raise InputError(f"unknown extractor {name!r}; choose one of: {known}")
    if weights is None and name != "roentgen":
        raise absent(name, "fidelity's extractor has no `weights`")
    if weights is not None and not weights.startswith(HUB) and not Path(weights).exists():
        raise absent(name, f"{weights} does not exist")
    device = torch.device(device)
    match name:
        case "roentgen":
            network = published.embedded(weights or str(EXTRACTOR), device)
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
        pixels="standardised as the model says, gray in three channels",
        dimension=model.dimension,
    )
    batch = max(1, _PIXELS // model.size**2)
    return Extractor(definition, lambda x: torch.from_numpy(model.encode_images(x)), batch)
