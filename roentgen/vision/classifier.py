"""A network that reads findings and the view from a gray image, and its training.

Our small one is trained in seconds on two cores, so that evaluation can train it on real and on
synthetic sets alike; its pooled penultimate layer is also the embedded feature extractor.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn import functional

from roentgen.checksums import check_files, read_checksums, write_checksums
from roentgen.config import config_to_dict
from roentgen.dataset.image_set import Images
from roentgen.dataset.label_arrays import UNKNOWN_VIEW
from roentgen.errors import InputError
from roentgen.manifest import fingerprint_of_files
from roentgen.randomness import derive_seed, torch_generator
from roentgen.record.finding import FindingName
from roentgen.record.radiograph import VIEWS
from roentgen.storage import write_file, write_json
from roentgen.vision.backbones import Network, SmallNetwork, TimmNetwork
from roentgen.vision.network_settings import (
    FOLD,
    OURS,
    ClassifierConfig,
    is_weights,
)
from roentgen.weights import CLASSIFIERS, shipped_or_path

WEIGHTS_FILE, SPEC_FILE = "classifier.safetensors", "classifier.json"
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class ClassifierSpec:
    """What a trained classifier reads and says."""

    findings: tuple[FindingName, ...]
    image_size: int  # pixels a side
    widths: tuple[int, ...]
    pixels: str = "[-1, 1]"
    views: tuple[str, ...] = VIEWS
    network: str = OURS
    resize: int | None = None


class Prediction(NamedTuple):
    """Probabilities in [0, 1]: (N, findings), each on its own, and (N, views), summing to 1."""

    findings: NDArray[np.float64]
    views: NDArray[np.float64]


class Classifier:
    """A trained network with the names of what it says."""

    def __init__(self, network: Network, spec: ClassifierSpec) -> None:
        self.network = network.eval().to(memory_format=torch.channels_last)
        self.spec = spec
        self._device = network.findings.weight.device

    def features(self, images: Images, batch_size: int = 64) -> NDArray[np.float32]:
        """Pooled penultimate layer of (N, H, W) images: (N, d)."""
        return np.concatenate(
            [part.cpu().numpy() for part in self._run(self.network.features, images, batch_size)]
        )

    def predict(self, images: Images, batch_size: int = 64) -> Prediction:
        """Probabilities for (N, H, W) images of the size trained on."""
        findings, views = zip(*self._run(self.network, images, batch_size), strict=True)
        return Prediction(
            torch.cat(findings).cpu().double().sigmoid().numpy(),
            torch.cat(views).cpu().double().softmax(dim=1).numpy(),
        )

    def save(self, folder: Path) -> None:
        """Weights as safetensors, the specification as JSON, and last the checksums of both."""
        folder.mkdir(parents=True, exist_ok=True)
        layers = self.network.state_dict()
        state = {name: tensor.cpu().contiguous() for name, tensor in layers.items()}
        write_file(folder / WEIGHTS_FILE, save(state))
        write_json(folder / SPEC_FILE, asdict(self.spec))
        write_checksums(folder)

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
                result.append(function(to_input(batch).to(self._device)))
        return result


def load_classifier(folder: Path, device: torch.device | str = "cpu") -> Classifier:
    """A saved classifier. Raises InputError if the folder holds none or it is damaged."""
    for name in (SPEC_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise InputError(f"no classifier in {folder}: {name} is missing")
    check_files(folder, read_checksums(folder), "classifier")
    try:
        content = json.loads((folder / SPEC_FILE).read_text(encoding="utf-8"))
        lists = {key: tuple(value) for key, value in content.items() if isinstance(value, list)}
        spec = ClassifierSpec(**{**content, **lists})
        network = make_network(spec, None)
        network.load_state_dict(load_file(folder / WEIGHTS_FILE))
    except (AttributeError, OSError, RuntimeError, SafetensorError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"the classifier in {folder} is damaged ({reason}): train it again"
        ) from None
    return Classifier(network.to(device), spec)


def settings_key(config: ClassifierConfig) -> list[Any]:
    """The settings and, where training starts from files, what these hold: of a cached network."""
    files: list[Path] = []
    if config.pretrained is not None:
        place = shipped_or_path(config.pretrained, CLASSIFIERS)
        files = [place / SPEC_FILE, place / WEIGHTS_FILE] if place.is_dir() else [place]
    there = [file for file in files if file.is_file()]
    return [config_to_dict(config), fingerprint_of_files(there) if there else None]


def make_network(spec: ClassifierSpec, weights: str | None, seed: int = 0) -> Network:
    """The network of a specification; `weights` as `TimmNetwork` takes them, else as it draws."""
    network: Network
    with _own_randomness(seed, "layers"):
        if spec.network == OURS:
            network = SmallNetwork(spec.widths, spec.resize)
        else:
            network = TimmNetwork(spec.network, spec.image_size, spec.resize, weights)
        network.add_heads(len(spec.findings), len(spec.views))
    return network


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
    start: Classifier | None = None,
    device: torch.device | str = "cpu",
    watch: Callable[[int, float], object] | None = None,
) -> Classifier:
    """Train on (N, H, W) images, `label_matrix` and `view_indices`; equal seeds, equal networks.

    `start`: a classifier of the same images, findings and network that training starts from, heads
    and all; it is used up. `watch` is called with each step and its loss. Raises InputError if
    there is nothing to learn or to start from.
    """
    if len(images) == 0 or (np.isnan(labels).all() and (views == UNKNOWN_VIEW).all()):
        raise InputError(
            f"nothing to train a classifier on: {len(images)} images, no label, no view"
        )
    spec = spec_of(images, findings, config)
    network = start.network if start else initialized(spec, config.pretrained, seed)
    draws = torch_generator(seed, "classifier", "augmentation")

    def loss_of(batch: NDArray[np.int64]) -> Tensor:
        x = network.resized(to_input(images[batch]).to(device))  # augmenting fewer pixels is faster
        x = augment(x, config, draws)
        targets = torch.from_numpy(labels[batch]), torch.from_numpy(views[batch])
        return masked_loss(network(x), targets[0].to(device), targets[1].to(device))

    network.train().to(device).to(memory_format=torch.channels_last)
    minimize(loss_of, network.parameters(), len(images), config, seed, watch)
    return Classifier(network, spec)


def minimize(
    loss_of: Callable[[NDArray[np.int64]], Tensor],
    parameters: Iterable[nn.Parameter],
    count: int,
    config: ClassifierConfig,
    seed: int,
    watch: Callable[[int, float], object] | None = None,
) -> None:
    """Train parameters on `count` items in random order; `loss_of` is given each batch's rows."""
    optimizer = torch.optim.AdamW(
        parameters, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    order = torch_generator(seed, "classifier", "order")
    queue = torch.empty(0, dtype=torch.long)
    with _own_randomness(seed, "dropout"):
        for step in range(config.steps):
            while len(queue) < config.batch_size:
                queue = torch.cat([queue, torch.randperm(count, generator=order)])
            batch, queue = queue[: config.batch_size].numpy(), queue[config.batch_size :]
            loss = loss_of(batch)
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * schedule(step, config.steps)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if watch is not None:
                watch(step, float(loss.detach()))


def spec_of(
    images: Images, findings: Sequence[FindingName], config: ClassifierConfig
) -> ClassifierSpec:
    """What is trained on these images. Raises InputError if they do not fit the network."""
    height, width = images[:1].shape[1:]
    divides = FOLD if config.network == OURS and config.resize is None else 1
    if height % divides or height != width:
        raise InputError(
            f"images of {width}x{height} pixels cannot train a classifier: "
            f"prepare them as squares with a side that {FOLD} divides"
        )
    return ClassifierSpec(
        findings=tuple(findings),
        image_size=height,
        widths=tuple(config.widths) if config.network == OURS else (),
        network=config.network,
        resize=config.resize,
    )


def initialized(spec: ClassifierSpec, pretrained: str | None, seed: int) -> Network:
    """Weights of one generator, or those that training starts from; heads are always new."""
    file = is_weights(pretrained)
    network = make_network(spec, pretrained if file else None, seed)
    generator = torch_generator(seed, "classifier", "weights")
    for module in network.modules() if spec.network == OURS else (network.findings, network.views):
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01, generator=generator)
            nn.init.zeros_(module.bias)
    if pretrained is not None and not file:
        _start_from(network, spec, shipped_or_path(pretrained, CLASSIFIERS))
    return network


def _start_from(network: Network, spec: ClassifierSpec, folder: Path) -> None:
    """Copy all layers but the heads of a saved one. Raises InputError if the networks differ."""
    other = load_classifier(folder)
    if (other.spec.network, other.spec.widths) != (spec.network, spec.widths):
        raise InputError(
            f"classifier.pretrained {folder} is a network {other.spec.network!r} with widths "
            f"{list(other.spec.widths)}: set classifier.network and classifier.widths to these"
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
    draws = (torch.rand(len(x), 5, generator=generator) * 2 - 1).to(x.device)  # in [-1, 1)
    if config.rotation or config.shift:
        angle = draws[:, 0] * math.radians(config.rotation)
        shift = draws[:, 1:3] * 2 * config.shift  # the grid's side is 2
        rows = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], dim=1)
        moves = torch.cat([rows.view(-1, 2, 2), shift.unsqueeze(2)], dim=2)
        grid = functional.affine_grid(moves, list(x.shape), False)
        x = functional.grid_sample(x, grid, padding_mode="border", align_corners=False)
    gain, offset = 1 + draws[:, 3] * config.contrast, draws[:, 4] * config.contrast
    changed = x * gain.view(-1, 1, 1, 1) + offset.view(-1, 1, 1, 1)
    return changed.clamp(-1, 1).contiguous(memory_format=torch.channels_last)


def schedule(step: int, steps: int) -> float:
    """Linear warm-up over the first tenth, then a cosine to zero; in (0, 1]."""
    warmup = max(1, steps // 10)
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


@contextmanager
def _own_randomness(seed: int, what: str) -> Iterator[None]:
    """Let layers draw from a seed of ours; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "classifier", what))
        yield
