"""Feature extractors by name: our own small network, Inception, XRV and RAD-DINO.

A Fréchet distance means nothing without what it was computed on, so each extractor carries a
`Definition` that goes beside every number.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from roentgen.errors import InputError
from roentgen.models.classifier import SPEC_FILE, WEIGHTS_FILE, load_classifier
from roentgen.runs import fingerprint_of_files

ExtractorName = Literal["roentgen", "inception", "xrv", "rad-dino"]
EMBEDDED = Path(__file__).parent / "extractor"
BATCH = 64

_BRING: dict[ExtractorName, str] = {
    "roentgen": "train it: python -m eval.train_extractor configs/eval/extractor.yaml",
    "inception": (
        "download https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
        'weights-inception-2015-12-05-6726825d.pth, then: python -c "import torch; from '
        "safetensors.torch import save_file; save_file(torch.load('weights-inception-2015-12-05-"
        "6726825d.pth', weights_only=True), 'inception.safetensors')\", and set "
        "extractor.weights=inception.safetensors"
    ),
    "xrv": (
        'pip install torchxrayvision, then: python -c "import torchxrayvision as xrv; from '
        "safetensors.torch import save_file; save_file(xrv.models.DenseNet(weights="
        "'densenet121-res224-all').state_dict(), 'xrv.safetensors')\", and set "
        "extractor.weights=xrv.safetensors"
    ),
    "rad-dino": (
        "hf download microsoft/rad-dino --local-dir rad-dino, and set extractor.weights=rad-dino"
    ),
}


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
    """Turns (N, H, W) uint8 images into (N, d) float32 features; `definition` says which."""

    def __init__(
        self, definition: Definition, size: int, encode: Callable[[Tensor], Tensor]
    ) -> None:
        self.definition = definition
        self._size = size
        self._encode = encode  # (n, 1, size, size) float32 in [0, 255] -> (n, d)

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Square images only: nothing is squashed. Batches are cut to bound memory."""
        if images.ndim != 3 or images.shape[1] != images.shape[2]:
            raise InputError(f"features need square gray images, not {images.shape[1:]}")
        parts = []
        with torch.inference_mode():
            for start in range(0, len(images), BATCH):
                x = torch.from_numpy(images[start : start + BATCH]).float().unsqueeze(1)
                if x.shape[-1] != self._size:
                    x = functional.interpolate(
                        x, self._size, mode="bilinear", antialias=True
                    ).clamp(0, 255)
                x = x.contiguous(memory_format=torch.channels_last)
                parts.append(self._encode(x).float().numpy())
        return np.concatenate(parts)


def load_extractor(name: ExtractorName, weights: Path | None = None) -> Extractor:
    """An extractor by name; `weights` is where a named choice's weights lie.

    Raises InputError that says how to bring weights that are absent.
    """
    if name == "roentgen":
        return _roentgen(weights or EMBEDDED)
    if name not in _BRING:
        raise InputError(f"unknown extractor {name!r}; choose one of: {', '.join(_BRING)}")
    if weights is None or not weights.exists():
        where = "extractor.weights is not set" if weights is None else f"{weights} does not exist"
        raise InputError(f"extractor {name!r} has no weights ({where}): {_BRING[name]}")
    match name:
        case "inception":
            return _inception(weights)
        case "xrv":
            return _xrv(weights)
        case "rad-dino":
            return _rad_dino(weights)


def _roentgen(folder: Path) -> Extractor:
    if not (folder / SPEC_FILE).is_file():
        raise InputError(f"extractor 'roentgen' has no weights in {folder}: {_BRING['roentgen']}")
    classifier = load_classifier(folder)
    spec = classifier.spec
    definition = Definition(
        name="roentgen",
        layer="pooled last stage",
        weights=fingerprint_of_files([folder / SPEC_FILE, folder / WEIGHTS_FILE]),
        resize=_resize_text(spec.image_size),
        pixels=spec.pixels,
        dimension=spec.widths[-1],
    )
    return Extractor(
        definition, spec.image_size, lambda x: classifier.network.features(x / 127.5 - 1)
    )


def _inception(file: Path) -> Extractor:
    from roentgen.models.inception import FidInception

    network = FidInception()
    _load(network, file, "inception", drop=("fc.", "AuxLogits."))
    definition = Definition(
        name="inception",
        layer="pool3",
        weights=fingerprint_of_files([file]),
        resize=_resize_text(299),
        pixels="(x - 128) / 128, gray in three channels",
        dimension=2048,
    )
    return Extractor(definition, 299, lambda x: network((x - 128).expand(-1, 3, -1, -1) / 128))


def _xrv(file: Path) -> Extractor:
    """TorchXRayVision's DenseNet-121 has torchvision's layout, with one input channel."""
    from torch import nn
    from torchvision.models import densenet121

    features = densenet121(weights=None).features
    features.conv0 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
    holder = nn.Module()
    holder.features = features
    _load(holder, file, "xrv", drop=("classifier.", "op_threshs"))
    definition = Definition(
        name="xrv",
        layer="DenseNet-121 features2",
        weights=fingerprint_of_files([file]),
        resize=_resize_text(224),
        pixels="[-1024, 1024]",
        dimension=1024,
    )
    return Extractor(
        definition, 224, lambda x: functional.relu(features(x / 255 * 2048 - 1024)).mean(dim=(2, 3))
    )


def _rad_dino(folder: Path) -> Extractor:
    from transformers import AutoModel

    if not any(folder.glob("*.safetensors")):  # weights in pickles are not read
        raise InputError(
            f"extractor 'rad-dino': {folder} holds no safetensors: {_BRING['rad-dino']}"
        )
    try:
        network: Any = AutoModel.from_pretrained(
            folder, local_files_only=True, use_safetensors=True
        ).eval()
        processor = json.loads((folder / "preprocessor_config.json").read_text())
        size = int(processor["crop_size"]["height"])
        mean = torch.tensor(processor["image_mean"]).view(1, 3, 1, 1)
        std = torch.tensor(processor["image_std"]).view(1, 3, 1, 1)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"extractor 'rad-dino': {folder} cannot be read ({reason}): {_BRING['rad-dino']}"
        ) from None
    definition = Definition(
        name="rad-dino",
        layer="class token",
        weights=fingerprint_of_files(sorted(folder.glob("*.safetensors"))),
        resize=_resize_text(size),
        pixels="standardised by its own mean and deviation, gray in three channels",
        dimension=network.config.hidden_size,
    )

    def encode(x: Tensor) -> Tensor:
        output = network(pixel_values=(x.expand(-1, 3, -1, -1) / 255 - mean) / std)
        return torch.as_tensor(output.pooler_output)

    return Extractor(definition, size, encode)


def _load(network: torch.nn.Module, file: Path, name: ExtractorName, drop: tuple[str, ...]) -> None:
    """Load safetensors strictly, without the layers (`drop`) that features do not need."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state = load_file(file)
        network.load_state_dict({k: v for k, v in state.items() if not k.startswith(drop)})
    except (SafetensorError, RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"extractor {name!r}: {file} does not hold its weights ({reason}): {_BRING[name]}"
        ) from None
    network.eval()


def _resize_text(size: int) -> str:
    return f"square to {size}x{size}, bilinear with antialiasing (none if of that size)"
