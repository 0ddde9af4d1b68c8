"""A small residual network that reads findings and the view from a gray image.

It is trained in seconds on two cores, so that evaluation can train it on real and on synthetic
sets alike; its pooled penultimate layer is also the embedded feature extractor.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn import functional

from roentgen.data.findings import FindingName
from roentgen.data.pixels import Images
from roentgen.data.views import VIEWS
from roentgen.errors import InputError
from roentgen.models.labels import UNKNOWN_VIEW
from roentgen.randomness import torch_generator
from roentgen.runs import write_file, write_json

WEIGHTS_FILE, SPEC_FILE = "classifier.safetensors", "classifier.json"
T = TypeVar("T")
_FOLD = 4  # pixels of a 4x4 patch become channels: twice as fast as a stem of stride 2
_GROUPS = 8  # of channels that are normalised together, image by image, as fast as by batch


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig:
    """How the small network is built and trained."""

    steps: int = 400
    """Optimizer steps, the same whatever the size of the training set."""
    batch_size: int = 32
    """Images a step."""
    learning_rate: float = 3e-3
    """Peak of the schedule: linear warm-up over the first tenth, then a cosine to zero."""
    weight_decay: float = 0.02
    """AdamW's weight decay."""
    pretrained: Path | None = None
    """Folder of a saved classifier whose layers, but not its heads, training starts from, as other
    networks start from ImageNet's; null: from scratch."""
    widths: tuple[int, ...] = (24, 48, 96, 128)
    """Channels of the stem, at a quarter of the side, and of each stage, which halves it again."""
    shift: float = 0.05
    """Augmentation: largest shift, as a share of the side."""
    rotation: float = 5.0
    """Augmentation: largest rotation in degrees. Images are never flipped: sides matter."""
    contrast: float = 0.15
    """Augmentation: largest relative change of contrast, and of brightness on [-1, 1]."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "learning_rate"):
            if getattr(self, name) <= 0:
                raise InputError(f"classifier.{name} is {getattr(self, name)}; it must be above 0")
        if not self.widths or any(width < _GROUPS or width % _GROUPS for width in self.widths):
            raise InputError(
                f"classifier.widths is {list(self.widths)}; give multiples of {_GROUPS}"
            )


@dataclass(frozen=True, kw_only=True)
class ClassifierSpec:
    """What a trained classifier reads and says."""

    findings: tuple[FindingName, ...]
    image_size: int  # pixels a side
    widths: tuple[int, ...]
    pixels: str = "[-1, 1]"
    views: tuple[str, ...] = VIEWS


class Prediction(NamedTuple):
    """Probabilities in [0, 1]: (N, findings), each on its own, and (N, views), summing to 1."""

    findings: NDArray[np.float64]
    views: NDArray[np.float64]


class _Block(nn.Module):
    """Two 3x3 convolutions with a skip; halves the side."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
        self.norm1 = nn.GroupNorm(_GROUPS, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.GroupNorm(_GROUPS, outputs)
        self.skip = nn.Conv2d(inputs, outputs, 1, stride=2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norm2(self.conv2(functional.relu(self.norm1(self.conv1(x)))))
        return functional.relu(self.skip(x) + inner)


class Network(nn.Module):
    """(N, 1, H, W) in [-1, 1] -> logits (N, findings) and (N, views); sides are multiples of 4."""

    def __init__(self, spec: ClassifierSpec) -> None:
        super().__init__()
        first, *rest = spec.widths
        self.stem = nn.Conv2d(_FOLD**2, first, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(_GROUPS, first)
        stages = zip(spec.widths[:-1], rest, strict=True)
        self.blocks = nn.Sequential(*[_Block(i, o) for i, o in stages])
        self.findings = nn.Linear(spec.widths[-1], len(spec.findings))
        self.views = nn.Linear(spec.widths[-1], len(spec.views))

    def features(self, x: Tensor) -> Tensor:
        """The pooled last stage, (N, d)."""
        x = functional.pixel_unshuffle(x, _FOLD).contiguous(memory_format=torch.channels_last)
        x = functional.relu(self.norm(self.stem(x)))
        return torch.as_tensor(self.blocks(x).mean(dim=(2, 3)))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of findings and views."""
        pooled = self.features(x)
        return self.findings(pooled), self.views(pooled)


class Classifier:
    """A trained network with the names of what it says."""

    def __init__(self, network: Network, spec: ClassifierSpec) -> None:
        self.network = network.eval().to(memory_format=torch.channels_last)
        self.spec = spec

    def features(self, images: Images, batch_size: int = 64) -> NDArray[np.float32]:
        """Pooled penultimate layer of (N, H, W) images: (N, d)."""
        return np.concatenate(
            [part.numpy() for part in self._run(self.network.features, images, batch_size)]
        )

    def predict(self, images: Images, batch_size: int = 64) -> Prediction:
        """Probabilities for (N, H, W) images of the size trained on."""
        findings, views = zip(*self._run(self.network, images, batch_size), strict=True)
        return Prediction(
            torch.cat(findings).double().sigmoid().numpy(),
            torch.cat(views).double().softmax(dim=1).numpy(),
        )

    def save(self, folder: Path) -> None:
        """Weights as safetensors, then the specification as JSON, which makes them whole."""
        folder.mkdir(parents=True, exist_ok=True)
        state = {name: tensor.contiguous() for name, tensor in self.network.state_dict().items()}
        write_file(folder / WEIGHTS_FILE, save(state))
        write_json(folder / SPEC_FILE, asdict(self.spec))

    def _run(self, function: Callable[[Tensor], T], images: Images, batch_size: int) -> list[T]:
        result = []
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size]
            if batch.shape[1:] != (self.spec.image_size, self.spec.image_size):
                height, width = batch.shape[1:]
                raise InputError(
                    f"the classifier reads images of {self.spec.image_size} pixels a side, "
                    f"these are {width}x{height}: prepare both alike"
                )
            with torch.inference_mode():
                result.append(function(to_input(batch)))
        return result


def load_classifier(folder: Path) -> Classifier:
    """A saved classifier. Raises InputError if the folder holds none or it is damaged."""
    for name in (SPEC_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise InputError(f"no classifier in {folder}: {name} is missing")
    try:
        content = json.loads((folder / SPEC_FILE).read_text(encoding="utf-8"))
        lists = {key: tuple(value) for key, value in content.items() if isinstance(value, list)}
        spec = ClassifierSpec(**{**content, **lists})
        network = Network(spec)
        network.load_state_dict(load_file(folder / WEIGHTS_FILE))
    except (AttributeError, OSError, RuntimeError, SafetensorError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"the classifier in {folder} is damaged ({reason}): make it anew"
        ) from None
    return Classifier(network, spec)


def to_input(images: NDArray[np.uint8]) -> Tensor:
    """(N, H, W) uint8 -> (N, 1, H, W) float32 in [-1, 1], channels last."""
    pixels = torch.from_numpy(np.ascontiguousarray(images)).float() / 127.5 - 1
    return pixels.unsqueeze(1).to(memory_format=torch.channels_last)


def train_classifier(
    images: Images,
    labels: NDArray[np.float32],
    views: NDArray[np.int64],
    *,
    findings: Sequence[FindingName],
    config: ClassifierConfig,
    seed: int,
    watch: Callable[[int, float], None] | None = None,
) -> Classifier:
    """Train on (N, H, W) images, `label_matrix` and `view_indices`; equal seeds, equal networks.

    `watch` is called with each step and its loss. Raises InputError if there is nothing to learn.
    """
    if len(images) == 0 or (np.isnan(labels).all() and (views == UNKNOWN_VIEW).all()):
        raise InputError(
            f"nothing to train a classifier on: {len(images)} images, no label, no view"
        )
    height, width = images[:1].shape[1:]
    if height % _FOLD or height != width:
        raise InputError(
            f"images of {width}x{height} pixels cannot train a classifier: "
            f"prepare them as squares with a side that {_FOLD} divides"
        )
    spec = ClassifierSpec(findings=tuple(findings), image_size=height, widths=tuple(config.widths))
    network = _initialised(spec, torch_generator(seed, "classifier", "weights"))
    if config.pretrained:
        _start_from(network, spec, config.pretrained)
    network.train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    order = torch_generator(seed, "classifier", "order")
    draws = torch_generator(seed, "classifier", "augmentation")
    queue = torch.empty(0, dtype=torch.long)
    for step in range(config.steps):
        while len(queue) < config.batch_size:
            queue = torch.cat([queue, torch.randperm(len(images), generator=order)])
        batch, queue = queue[: config.batch_size].numpy(), queue[config.batch_size :]
        x = augment(to_input(images[batch]), config, draws)
        loss = masked_loss(
            network(x), torch.from_numpy(labels[batch]), torch.from_numpy(views[batch])
        )
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * schedule(step, config.steps)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if watch is not None:
            watch(step, float(loss.detach()))
    return Classifier(network, spec)


def _start_from(network: Network, spec: ClassifierSpec, folder: Path) -> None:
    """Copy all layers but the heads of a saved one. Raises InputError if the widths differ."""
    other = load_classifier(folder)
    if other.spec.widths != spec.widths:
        raise InputError(
            f"classifier.pretrained {folder} has widths {list(other.spec.widths)}: "
            "set classifier.widths to these"
        )
    layers = other.network.state_dict()
    heads = ("findings.", "views.")
    kept = {name: weight for name, weight in layers.items() if not name.startswith(heads)}
    network.load_state_dict(kept, strict=False)


def masked_loss(logits: tuple[Tensor, Tensor], labels: Tensor, views: Tensor) -> Tensor:
    """Mean binary cross-entropy over the labels that are known + cross-entropy over known views."""
    known = ~labels.isnan()
    findings = functional.binary_cross_entropy_with_logits(
        logits[0], labels.nan_to_num(0.0), weight=known.float(), reduction="sum"
    )
    view = functional.cross_entropy(logits[1], views, ignore_index=UNKNOWN_VIEW, reduction="sum")
    return findings / known.sum().clamp(min=1) + view / (views != UNKNOWN_VIEW).sum().clamp(min=1)


def augment(x: Tensor, config: ClassifierConfig, generator: torch.Generator) -> Tensor:
    """Shift, turn, and change contrast and brightness of each image a little; never a flip."""
    draws = torch.rand(len(x), 5, generator=generator) * 2 - 1  # in [-1, 1)
    angle = draws[:, 0] * math.radians(config.rotation)
    shift = draws[:, 1:3] * 2 * config.shift  # the grid's side is 2
    rows = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], dim=1).view(-1, 2, 2)
    grid = functional.affine_grid(
        torch.cat([rows, shift.unsqueeze(2)], dim=2), list(x.shape), False
    )
    moved = functional.grid_sample(x, grid, padding_mode="border", align_corners=False)
    gain, offset = 1 + draws[:, 3] * config.contrast, draws[:, 4] * config.contrast
    changed = moved * gain.view(-1, 1, 1, 1) + offset.view(-1, 1, 1, 1)
    return changed.clamp(-1, 1).contiguous(memory_format=torch.channels_last)


def schedule(step: int, steps: int) -> float:
    """Linear warm-up over the first tenth, then a cosine to zero; in (0, 1]."""
    warmup = max(1, steps // 10)
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def _initialised(spec: ClassifierSpec, generator: torch.Generator) -> Network:
    """Weights drawn from the generator alone; the global one is left as it was."""
    with torch.random.fork_rng(devices=[]):
        network = Network(spec)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01, generator=generator)
            nn.init.zeros_(module.bias)
    return network
