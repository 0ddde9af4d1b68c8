"""Published feature networks, each with its layer and its pixel preparation."""

from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from roentgen.errors import InputError
from roentgen.manifest import fingerprint_of_files
from roentgen.terminal.progress import without_library_bars
from roentgen.untrusted_files import (
    check_network_files,
    check_weights,
    read_json,
)
from roentgen.vision.classifier import SPEC_FILE, WEIGHTS_FILE, load_classifier
from roentgen.vision.features.network import FeatureNetwork
from roentgen.vision.published_weights import (
    absent,
    load_strictly,
    local_file,
    local_folder,
    unreadable,
)

_BICUBIC = 3  # as Pillow numbers it


def embedded(weights: str, device: torch.device) -> FeatureNetwork:
    """The shipped network, or another saved classifier."""
    folder = Path(weights)
    if not (folder / SPEC_FILE).is_file():
        raise absent("roentgen", f"{SPEC_FILE} is not in {folder}")
    classifier = load_classifier(folder, device)
    return FeatureNetwork(
        layer="pooled last stage",
        weights=fingerprint_of_files([folder / SPEC_FILE, folder / WEIGHTS_FILE]),
        size=classifier.spec.image_size,
        pixels=classifier.spec.pixels,
        dimension=classifier.network.dimension,
        encode=lambda x: classifier.network.features(x / 127.5 - 1),
    )


def inception(weights: str, device: torch.device) -> FeatureNetwork:
    """The Inception of the original FID, in torch-fidelity's layout."""
    from roentgen.vision.features.inception import FidInception

    file = local_file("inception", weights)
    network = FidInception()
    load_strictly(network, file, "inception", drop=("fc.", "AuxLogits."))
    network.to(device)
    return FeatureNetwork(
        layer="pool3",
        weights=fingerprint_of_files([file]),
        size=299,
        pixels="(x - 128) / 128, gray in three channels",
        dimension=2048,
        encode=lambda x: network((x - 128).expand(-1, 3, -1, -1) / 128),
    )


def xrv(weights: str, device: torch.device) -> FeatureNetwork:
    """TorchXRayVision's DenseNet-121: torchvision's layout with one input channel."""
    from torchvision.models import densenet121

    file = local_file("xrv", weights)
    features = densenet121(weights=None).features
    features.conv0 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
    holder = nn.Module()
    holder.features = features
    load_strictly(holder, file, "xrv", drop=("classifier.", "op_threshs"))
    holder.to(device)
    return FeatureNetwork(
        layer="DenseNet-121 features2",
        weights=fingerprint_of_files([file]),
        size=224,
        pixels="[-1024, 1024]",
        dimension=1024,
        encode=lambda x: functional.relu(features(x / 255 * 2048 - 1024)).mean(dim=(2, 3)),
    )


def timm_model(weights: str, device: torch.device) -> FeatureNetwork:
    """Any model of timm, from a folder in its hub layout."""
    import timm

    folder = local_folder("timm", weights)
    file = folder / "model.safetensors"
    if not file.is_file():  # weights in pickles are not read
        raise unreadable("timm", folder, "model.safetensors is missing")
    try:
        network: Any = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    except Exception as error:  # of timm, safetensors, a config.json of anything
        raise unreadable("timm", folder, error) from None
    network.reset_classifier(0)
    network.to(device)
    settings = network.pretrained_cfg
    channels, size = int(settings["input_size"][0]), int(settings["input_size"][-1])
    standardize = _Standardize(settings["mean"], settings["std"], channels, device)

    def encode(x: Tensor) -> Tensor:
        return torch.as_tensor(network(standardize(x)))

    return FeatureNetwork(
        layer=f"{settings['architecture']} without its classifier",
        weights=fingerprint_of_files([file, folder / "config.json"]),
        size=size,
        pixels=standardize.description,
        dimension=_dimension("timm", folder, encode, size, device),
        encode=encode,
        interpolation="bicubic" if settings.get("interpolation") == "bicubic" else "bilinear",
    )


def transformers_model(
    name: Literal["rad-dino", "transformers"], weights: str, device: torch.device
) -> FeatureNetwork:
    """RAD-DINO, or any image model that transformers' AutoModel opens.

    The feature is the class token of the last layer, after its normalization; of a model without
    one, the mean over positions. A checkpoint with missing tensors is refused, except for a pooler,
    which is not used.
    """
    from transformers import AutoModel

    folder = local_folder(name, weights)
    files = sorted(folder.glob("model*.safetensors"))
    if not files:  # weights in pickles are not read
        raise unreadable(name, folder, "it holds no safetensors")
    check_network_files(folder)
    try:
        network: Any
        with without_library_bars():
            network, report = AutoModel.from_pretrained(
                folder,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
            )
        settings = read_json(folder / "preprocessor_config.json")
        size = _side(settings.get("crop_size") or settings["size"])
        standardize = _Standardize(settings["image_mean"], settings["image_std"], 3, device)
        check_weights(network, report, lambda: [k for k in report["missing_keys"] if "pooler" in k])
    except (OSError, ValueError, LookupError, TypeError, RuntimeError) as error:
        raise unreadable(name, folder, error) from None
    network.eval().to(device)
    tokens = getattr(network, "embeddings", None)
    has_token = any(hasattr(tokens, key) for key in ("cls_token", "class_embedding"))

    def encode(x: Tensor) -> Tensor:
        states = network(pixel_values=standardize(x)).last_hidden_state
        if states.ndim == 4:
            return torch.as_tensor(states.mean(dim=(2, 3)))
        return torch.as_tensor(states[:, 0] if has_token else states.mean(dim=1))

    return FeatureNetwork(
        layer=f"{type(network).__name__}, {'class token' if has_token else 'mean over positions'}",
        weights=fingerprint_of_files([*files, folder / "config.json"]),
        size=size,
        pixels=standardize.description,
        dimension=_dimension(name, folder, encode, size, device),
        encode=encode,
        interpolation="bicubic" if settings.get("resample") == _BICUBIC else "bilinear",
    )


class _Standardize:
    """(n, 1, H, W) in [0, 255] -> (n, channels, H, W), standardized as a model was trained."""

    def __init__(
        self, mean: list[float], deviation: list[float], channels: int, device: torch.device
    ) -> None:
        self._channels = channels
        self._mean = torch.tensor(mean, device=device).view(1, -1, 1, 1)
        self._deviation = torch.tensor(deviation, device=device).view(1, -1, 1, 1)
        values = [f"{', '.join(f'{v:g}' for v in x)}" for x in (mean, deviation)]
        self.description = (
            f"[0, 1], less {values[0]}, over {values[1]}, gray in {channels} channel(s)"
        )

    def __call__(self, x: Tensor) -> Tensor:
        return (x.expand(-1, self._channels, -1, -1) / 255 - self._mean) / self._deviation


def _side(size: Any) -> int:
    """The side in pixels, from a processor's size setting."""
    if isinstance(size, dict):
        return int(size.get("shortest_edge") or size["height"])
    return int(size)


def _dimension(name: str, folder: Path, encode: Any, size: int, device: torch.device) -> int:
    """The dimension of a model's features. Raises InputError if it needs more than pixels."""
    with torch.inference_mode():
        try:
            found = encode(torch.zeros(1, 1, size, size, device=device))
        except Exception as error:
            raise InputError(
                f"extractor {name!r}: the model in {folder} cannot be used on pixels alone "
                f"({type(error).__name__}: {' '.join(str(error).split())[:120]})"
            ) from None
    if found.ndim != 2:
        raise InputError(
            f"extractor {name!r}: the model in {folder} gives {tuple(found.shape)}, not a feature"
        )
    return int(found.shape[1])
