"""Every image through the VAE once: posterior means and deviations on disk, resampled at each use.

A folder of safetensors shards (`mean` and `std`, float16 [n, C, h, w]) and a JSON that is written
last. Shards are memory-mapped: memory does not grow with the dataset.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from roentgen.data.images import to_tensor
from roentgen.errors import InputError
from roentgen.runs import write_json
from train.kept import KeptSplit

if TYPE_CHECKING:
    from accelerate import Accelerator
    from diffusers import AutoencoderKL

SHARD = 1024  # images; at 512 px a shard is 67 MB
BATCH_PIXELS = 2**19  # a batch of the VAE: 32 images at 128 px, 2 at 512
MANIFEST = "latents.json"


class LatentCache:
    """The posteriors of a split's images, in its order."""

    def __init__(self, folder: Path, items: int, shape: tuple[int, ...]) -> None:
        self.shape = shape  # (C, h, w)
        self._shards = []
        for number, places in enumerate(_shards(items)):
            path = folder / _shard_name(number)
            try:
                file: Any = safe_open(path, framework="pt")
                mean, std = file.get_slice("mean"), file.get_slice("std")
                found = tuple(mean.get_shape())
            except (OSError, SafetensorError) as error:
                raise InputError(f"latents {path} cannot be read: remove {folder}") from error
            if found != (len(places), *shape):
                raise InputError(f"latents {path} have shape {found}: remove {folder}")
            self._shards.append((mean, std))

    def posteriors(self, items: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Means and deviations, unscaled, each float32 [N, C, h, w]."""
        rows = [(self._shards[item // SHARD], item % SHARD) for item in items]
        mean = torch.cat([shard[0][i : i + 1] for shard, i in rows])
        std = torch.cat([shard[1][i : i + 1] for shard, i in rows])
        return mean.float(), std.float()


def _shards(items: int) -> list[range]:
    return [range(first, min(first + SHARD, items)) for first in range(0, items, SHARD)]


def _shard_name(number: int) -> str:
    return f"latents-{number:05d}.safetensors"


def cache_latents(
    folder: Path,
    split: KeptSplit,
    vae: "AutoencoderKL",
    *,
    key: str,
    size: int,
    accelerator: "Accelerator",
) -> LatentCache:
    """Encode what is not yet encoded, each process its share of the shards, and open the cache.

    `key` says what the latents depend on (dataset, VAE); a folder of another key is made anew.
    Shards that a stopped run finished are kept. Raises InputError for an image of another size.
    """
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    shape = (vae.config.latent_channels, size // factor, size // factor)
    done = {"key": key, "items": len(split), "shape": list(shape)}
    if accelerator.is_main_process and _read(folder / "key.json") != done:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*"):
            old.unlink()
        write_json(folder / "key.json", done)
    accelerator.wait_for_everyone()
    if _read(folder / MANIFEST) != done:
        _encode(folder, split, vae, size=size, accelerator=accelerator)
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            write_json(folder / MANIFEST, done)
        accelerator.wait_for_everyone()
    return LatentCache(folder, len(split), shape)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def _encode(
    folder: Path,
    split: KeptSplit,
    vae: "AutoencoderKL",
    *,
    size: int,
    accelerator: "Accelerator",
) -> None:
    """Write a process's share of the missing shards."""
    missing = [
        (number, places)
        for number, places in enumerate(_shards(len(split)))
        if not (folder / _shard_name(number)).exists()
    ]
    mine = missing[accelerator.process_index :: accelerator.num_processes]
    total = sum(len(places) for _, places in mine)
    batch = max(1, BATCH_PIXELS // size**2)
    shown = accelerator.is_local_main_process
    with tqdm(total=total, desc=f"encode {split.name}", unit="image", disable=not shown) as bar:
        for number, places in mine:
            means, stds = [], []
            for first in range(0, len(places), batch):
                chunk = places[first : first + batch]
                mean, std = _posterior(vae, split, chunk, size)
                means.append(mean)
                stds.append(std)
                bar.update(len(chunk))
            path = folder / _shard_name(number)
            partial = path.with_suffix(".partial")
            save_file({"mean": torch.cat(means), "std": torch.cat(stds)}, partial)
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            partial.replace(path)


@torch.no_grad()
def _posterior(
    vae: "AutoencoderKL", split: KeptSplit, indices: range, size: int
) -> tuple[Tensor, Tensor]:
    """Mean and deviation of the VAE's posterior, float16 on the CPU, [N, C, h, w]."""
    images = split.images(indices)
    for index, image in zip(indices, images, strict=True):
        if image.shape != (size, size):
            raise InputError(
                f"image {split[index].id!r} is {image.shape[1]}x{image.shape[0]}, others are "
                f"{size}x{size}: prepare the dataset with one size"
            )
    pixels = torch.stack([to_tensor(image) for image in images])  # NCHW in [-1, 1]
    posterior = vae.encode(pixels.to(vae.device)).latent_dist
    return posterior.mean.half().cpu().contiguous(), posterior.std.half().cpu().contiguous()
