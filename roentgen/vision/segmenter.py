"""A network that finds structures in a gray image, a U-Net, and its training.

It measures whether a drawn image has the structures that a mask requests, and what synthetic pairs
teach a segmenter.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn import functional

from roentgen.checksums import check_files, read_checksums, write_checksums
from roentgen.dataset.image_set import Images
from roentgen.dataset.structure_masks import UNKNOWN
from roentgen.errors import InputError
from roentgen.randomness import derive_seed, torch_generator
from roentgen.storage import write_file, write_json
from roentgen.vision.classifier import schedule, to_input
from roentgen.vision.network_settings import SegmenterConfig

WEIGHTS_FILE, SPEC_FILE = "segmenter.safetensors", "segmenter.json"
FOLD = 32  # which the side of an image must be a multiple of


@dataclass(frozen=True, kw_only=True)
class SegmenterSpec:
    """What a trained segmenter reads and says."""

    structures: tuple[str, ...]
    image_size: int  # pixels a side
    encoder: str
    widths: tuple[int, ...]
    pixels: str = "[-1, 1]"


class MaskArrays(Protocol):
    """Masks of images, uint8 (N, structures, H, W) of 0, 1 and UNKNOWN, read on access."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: NDArray[np.integer], /) -> NDArray[np.uint8]: ...


class Segmenter:
    """A trained network with the names of what it finds."""

    def __init__(self, network: nn.Module, spec: SegmenterSpec) -> None:
        self.network = network.eval().to(memory_format=torch.channels_last)
        self.spec = spec
        self._device = next(network.parameters()).device

    def predict(self, images: Images, batch_size: int = 32) -> NDArray[np.float32]:
        """Probabilities (N, structures, H, W) in [0, 1] for (N, H, W) images of its size.

        Raises InputError for images of another size.
        """
        side = self.spec.image_size
        found = np.empty((len(images), len(self.spec.structures), side, side), dtype=np.float32)
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size]
            if batch.shape[1:] != (side, side):
                height, width = batch.shape[1:]
                raise InputError(
                    f"the segmenter reads images of {side} pixels a side, these are "
                    f"{width}x{height}: prepare both alike"
                )
            with torch.inference_mode():
                probabilities = self.network(to_input(batch).to(self._device)).sigmoid()
            found[start : start + len(batch)] = probabilities.float().cpu().numpy()
        return found

    def save(self, folder: Path) -> None:
        """Weights as safetensors, the specification as JSON, and last the checksums of both."""
        folder.mkdir(parents=True, exist_ok=True)
        layers = self.network.state_dict()
        state = {name: tensor.cpu().contiguous() for name, tensor in layers.items()}
        write_file(folder / WEIGHTS_FILE, save(state))
        write_json(folder / SPEC_FILE, asdict(self.spec))
        write_checksums(folder)


def load_segmenter(folder: Path, device: torch.device | str = "cpu") -> Segmenter:
    """A saved segmenter. Raises InputError if the folder holds none or it is damaged."""
    for name in (SPEC_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise InputError(f"no segmenter in {folder}: {name} is missing")
    check_files(folder, read_checksums(folder), "segmenter")
    try:
        content = json.loads((folder / SPEC_FILE).read_text(encoding="utf-8"))
        lists = {key: tuple(value) for key, value in content.items() if isinstance(value, list)}
        spec = SegmenterSpec(**{**content, **lists})
        network = make_network(spec)
        network.load_state_dict(load_file(folder / WEIGHTS_FILE))
    except (AttributeError, OSError, RuntimeError, SafetensorError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"the segmenter in {folder} is damaged ({reason}): train it again"
        ) from None
    return Segmenter(network.to(device), spec)


def make_network(spec: SegmenterSpec, seed: int = 0) -> nn.Module:
    """The U-Net of a specification, as `seed` draws its weights.

    Raises InputError for an encoder that segmentation_models_pytorch does not know.
    """
    import segmentation_models_pytorch as smp

    try:
        with torch.random.fork_rng(devices=[]):  # the global generator is left as it was
            torch.manual_seed(derive_seed(seed, "segmenter", "layers"))
            network: nn.Module = smp.Unet(
                spec.encoder,
                encoder_weights=None,
                decoder_channels=spec.widths,
                in_channels=1,
                classes=len(spec.structures),
            )
    except KeyError:
        known = ", ".join(smp.encoders.get_encoder_names()[:8])
        raise InputError(
            f"segmenter.encoder {spec.encoder!r} is not known; choose one of segmentation_models_"
            f"pytorch's: {known}, ..."
        ) from None
    return network


def train_segmenter(
    images: Images,
    masks: MaskArrays,
    *,
    structures: Sequence[str],
    config: SegmenterConfig,
    seed: int,
    device: torch.device | str = "cpu",
    watch: Callable[[int, float], object] | None = None,
) -> Segmenter:
    """Train on (N, H, W) images and their masks; equal seeds, equal networks.

    Unknown pixels are ignored. `watch` is called with each step and its loss. Raises
    InputError if there is nothing to learn from.
    """
    if len(images) == 0 or len(images) != len(masks):
        raise InputError(
            f"nothing to train a segmenter on: {len(images)} images, {len(masks)} masks"
        )
    height, width = images[:1].shape[1:]
    if height != width or height % FOLD:
        raise InputError(
            f"images of {width}x{height} pixels cannot train a segmenter: prepare them as squares "
            f"with a side that {FOLD} divides"
        )
    spec = SegmenterSpec(
        structures=tuple(structures),
        image_size=height,
        encoder=config.encoder,
        widths=config.widths,
    )
    network = make_network(spec, seed).train().to(device)
    network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    order = torch_generator(seed, "segmenter", "order")
    draws = torch_generator(seed, "segmenter", "augmentation")
    queue = torch.empty(0, dtype=torch.long)
    for step in range(config.steps):
        while len(queue) < config.batch_size:
            queue = torch.cat([queue, torch.randperm(len(images), generator=order)])
        batch, queue = queue[: config.batch_size].numpy(), queue[config.batch_size :]
        targets = torch.from_numpy(masks[batch]).to(device)
        x, y = augment(to_input(images[batch]).to(device), targets, config, draws)
        loss = masked_loss(network(x), y)
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * schedule(step, config.steps)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if watch is not None:
            watch(step, float(loss.detach()))
    return Segmenter(network, spec)


def masked_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Binary cross-entropy + 1 - soft Dice of each structure over the batch, where it is known.

    Logits (N, structures, H, W), masks of 0, 1 and UNKNOWN (Milletari et al. 2016 for the Dice).
    """
    known = masks != UNKNOWN
    inside = (masks == 1).float()
    entropy = functional.binary_cross_entropy_with_logits(
        logits, inside, weight=known.float(), reduction="sum"
    )
    probabilities = logits.sigmoid() * known
    dims = (0, 2, 3)
    both, areas = (probabilities * inside).sum(dims), probabilities.sum(dims) + inside.sum(dims)
    soft = (2 * both + 1) / (areas + 1)  # an absent structure, not found, is no loss
    return entropy / known.sum().clamp(min=1) + (1 - soft).mean()


def augment(
    x: Tensor, masks: Tensor, config: SegmenterConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Shift, turn and scale images and masks alike, and change contrast; never a flip.

    Masks by the nearest neighbor; pixels from outside the image are unknown.
    """
    draws = (torch.rand(len(x), 6, generator=generator) * 2 - 1).to(x.device)  # in [-1, 1)
    angle = draws[:, 0] * math.radians(config.rotation)
    size = (1 + config.scale) ** draws[:, 1]
    shift = draws[:, 2:4] * 2 * config.shift  # the grid's side is 2
    rows = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], dim=1).view(-1, 2, 2)
    matrix = torch.cat([rows * size.view(-1, 1, 1), shift.unsqueeze(2)], dim=2)
    grid = functional.affine_grid(matrix, list(x.shape), False)
    moved = functional.grid_sample(x, grid, padding_mode="border", align_corners=False)
    moved_masks = functional.grid_sample(
        UNKNOWN - masks.float(), grid, mode="nearest", padding_mode="zeros", align_corners=False
    )
    gain, offset = 1 + draws[:, 4] * config.contrast, draws[:, 5] * config.contrast
    changed = (moved * gain.view(-1, 1, 1, 1) + offset.view(-1, 1, 1, 1)).clamp(-1, 1)
    return changed.contiguous(memory_format=torch.channels_last), UNKNOWN - moved_masks
