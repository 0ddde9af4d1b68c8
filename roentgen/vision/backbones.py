"""Classifier backbones: our small residual network, or any of timm's."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional

from roentgen.errors import InputError
from roentgen.vision.network_settings import FOLD, GROUPS
from roentgen.vision.published_weights import HUB


class Network(nn.Module):
    """(N, 1, H, W) in [-1, 1] -> logits (N, findings) and (N, views)."""

    findings: nn.Linear
    views: nn.Linear

    def __init__(self, resize: int | None) -> None:
        super().__init__()
        self._resize = resize

    def add_heads(self, findings: int, views: int) -> None:
        """The two linear layers that read the features."""
        self.findings = nn.Linear(self.dimension, findings)
        self.views = nn.Linear(self.dimension, views)

    @property
    def dimension(self) -> int:
        """Numbers in a feature."""
        raise NotImplementedError

    def pooled(self, x: Tensor) -> Tensor:
        """What `features` gives, of images that have the network's own size."""
        raise NotImplementedError

    def resized(self, x: Tensor) -> Tensor:
        """The images at the network's own size."""
        if self._resize is None or x.shape[-1] == self._resize:
            return x
        return functional.interpolate(x, self._resize, mode="bilinear", antialias=True)

    def features(self, x: Tensor) -> Tensor:
        """The pooled last stage, (N, dimension)."""
        return self.pooled(self.resized(x))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of findings and views."""
        features = self.features(x)
        return self.findings(features), self.views(features)


class _Block(nn.Module):
    """Two 3x3 convolutions with a skip; halves the side."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
        self.norm1 = nn.GroupNorm(GROUPS, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.GroupNorm(GROUPS, outputs)
        self.skip = nn.Conv2d(inputs, outputs, 1, stride=2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norm2(self.conv2(functional.relu(self.norm1(self.conv1(x)))))
        return functional.relu(self.skip(x) + inner)


class SmallNetwork(Network):
    """A residual network trained in seconds on two cores; sides are multiples of 4.

    `widths` are the channels of the stem and of each stage.
    """

    def __init__(self, widths: tuple[int, ...], resize: int | None) -> None:
        super().__init__(resize)
        first, *rest = widths
        self.stem = nn.Conv2d(FOLD**2, first, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(GROUPS, first)
        self.blocks = nn.Sequential(*[_Block(i, o) for i, o in zip(widths[:-1], rest, strict=True)])
        self._dimension = widths[-1]

    @property
    def dimension(self) -> int:
        """The last stage's channels."""
        return self._dimension

    def pooled(self, x: Tensor) -> Tensor:
        """The mean over the last stage's places."""
        x = functional.pixel_unshuffle(x, FOLD).contiguous(memory_format=torch.channels_last)
        x = functional.relu(self.norm(self.stem(x)))
        return torch.as_tensor(self.blocks(x).mean(dim=(2, 3)))


class TimmNetwork(Network):
    """A network of timm with one input channel, standardised by the weights' own mean.

    `weights`: None for random ones, a safetensors file in timm's layout, or "hf-hub:OWNER/NAME";
    the first layer of weights for three channels is summed over them. Raises InputError.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, name: str, size: int, resize: int | None, weights: str | None) -> None:
        super().__init__(resize)
        self.backbone = _timm_model(name, resize or size, weights)
        cfg = self.backbone.pretrained_cfg
        for key, values in (("mean", cfg["mean"]), ("deviation", cfg["std"])):
            self.register_buffer(key, torch.tensor(sum(values) / len(values)))

    @property
    def dimension(self) -> int:
        """What timm's model gives without its classifier."""
        return int(getattr(self.backbone, "head_hidden_size", self.backbone.num_features))

    def pooled(self, x: Tensor) -> Tensor:
        """The model's own pooling."""
        return torch.as_tensor(self.backbone(((x + 1) / 2 - self.mean) / self.deviation))


def _timm_model(name: str, size: int, weights: str | None) -> Any:
    import timm

    cfg = timm.get_pretrained_cfg(name)
    options: dict[str, Any] = {"in_chans": 1, "num_classes": 0}
    if cfg is not None and cfg.fixed_input_size:
        options["img_size"] = size
    if weights is None:
        return timm.create_model(name, **options)
    file = _fetched(name, weights) if weights.startswith(HUB) else Path(weights)
    _check_weights(name, file, timm.create_model(name, **options).state_dict())
    try:
        overlay = {"file": str(file)}
        return timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **options)
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"classifier.pretrained {weights} does not hold weights of {name} ({reason}): "
            f"{_bring(name)}"
        ) from None


def _fetched(name: str, weights: str) -> Path:
    """A model's safetensors from the hub."""
    import huggingface_hub

    try:
        repository = weights.removeprefix(HUB)
        return Path(huggingface_hub.hf_hub_download(repository, "model.safetensors"))
    except Exception as error:  # the hub, its network and its cache each have their own
        raise InputError(
            f"classifier.pretrained {weights} cannot be fetched ({type(error).__name__}): "
            f"{_bring(name)}"
        ) from None


def _check_weights(name: str, file: Path, layers: dict[str, Tensor]) -> None:
    """Raise InputError unless all is there: timm loads what fits and is silent of the rest."""
    try:
        with safe_open(file, framework="pt") as opened:
            missing = sorted(layers.keys() - set(opened.keys()))
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"classifier.pretrained {file} is not a safetensors file ({error}): {_bring(name)}"
        ) from None
    if missing:
        raise InputError(
            f"classifier.pretrained {file} lacks {len(missing)} of the {len(layers)} tensors of "
            f"{name}, such as {missing[0]}: {_bring(name)}"
        )


def _bring(name: str) -> str:
    import timm

    cfg = timm.get_pretrained_cfg(name)
    if cfg is None or not cfg.hf_hub_id:
        return "timm has no weights for it: set classifier.pretrained=null"
    return (
        f"set classifier.pretrained={HUB}{cfg.hf_hub_id}, or without a network: hf download "
        f"{cfg.hf_hub_id} model.safetensors --local-dir {name}, and set "
        f"classifier.pretrained={name}/model.safetensors"
    )
