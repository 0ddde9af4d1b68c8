"""Feature network and extractor, with the definition that makes two numbers comparable."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from roentgen.errors import InputError

PIXELS = 64 * 224**2  # of a batch: bounds memory for any input size


@dataclass(frozen=True, kw_only=True)
class Definition:
    """Definition of a feature: two numbers are comparable only if all of it is equal."""

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
    """Square (N, H, W) uint8 images to (N, d) float32 features, as `definition` says."""

    def __init__(
        self,
        definition: Definition,
        encode: Callable[[NDArray[np.uint8]], Tensor],
        batch: int,
    ) -> None:
        self.definition = definition
        self._encode, self._batch = encode, batch

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Raises InputError for images that are not square: nothing is squashed."""
        if images.ndim != 3 or images.shape[1] != images.shape[2]:
            raise InputError(f"features need square gray images, not {images.shape[1:]}")
        parts = []
        with torch.inference_mode():
            for start in range(0, len(images), self._batch):
                parts.append(self._encode(images[start : start + self._batch]).float().cpu())
        return torch.cat(parts).numpy()


@dataclass(frozen=True, kw_only=True)
class FeatureNetwork:
    """A network with the preparation of its pixels."""

    layer: str
    weights: str
    size: int  # pixels a side
    pixels: str
    dimension: int
    encode: Callable[[Tensor], Tensor]  # (n, 1, size, size) float32 in [0, 255] -> (n, d)
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"

    def extractor(self, name: str, device: torch.device) -> Extractor:
        """The network with resizing, which is skipped for images of its own size."""
        batch = max(1, PIXELS // self.size**2)

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
