"""Every image through the VAE once: posterior means and deviations on disk, resampled at each use.

After that, training reads no image. An augmented split has a posterior for each variant.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from roentgen.cache import Cache, Contents, open_cache
from roentgen.diffusion.backbones.stable_diffusion import module_fingerprint
from roentgen.errors import InputError
from roentgen.imaging.images import to_tensor
from roentgen.manifest import fingerprint_of
from train.loading.augment import Augmenter
from train.loading.filtered_split import FilteredSplit

if TYPE_CHECKING:
    from accelerate import Accelerator
    from diffusers import AutoencoderKL

BATCH_PIXELS = 2**19  # a batch of the VAE: 32 images at 128 px, 2 at 512
FORM = "mean and deviation, float16"  # changes with what the cache holds for the same images


class LatentCache:
    """The posteriors of a split's images and of their variants, in the split's order."""

    def __init__(self, cache: Cache, shape: tuple[int, ...], variants: int) -> None:
        self.shape = shape  # (C, h, w)
        self.variants = variants
        self._cache = cache

    def posteriors(
        self, items: Sequence[int], variants: Sequence[int] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Means and deviations, unscaled, each float32 [N, C, h, w].

        They are of the images themselves where no variants are named.
        """
        numbers = [0] * len(items) if variants is None else variants
        rows = [i * self.variants + v for i, v in zip(items, numbers, strict=True)]
        return self._cache.read("mean", rows), self._cache.read("std", rows)


@dataclass(frozen=True, kw_only=True)
class LatentPlan:
    """What is to be encoded of a split, and how."""

    split: FilteredSplit
    contents: Contents
    shape: tuple[int, ...]  # (C, h, w)
    variants: int
    chunk: int  # rows of the cache that are encoded together
    encode: Callable[[range], dict[str, Tensor]]

    def folder(self, caches: Path) -> Path:
        """It is named for all that the latents depend on."""
        return caches / f"latents-{self.split.name}-{self.contents.key}"

    def name_of(self, row: int) -> str:
        """Whose latents stand in a row of the cache."""
        return f"radiograph {self.split[row // self.variants].id!r}"


def plan_latents(
    split: FilteredSplit,
    vae: "AutoencoderKL",
    *,
    dataset: str,
    size: int,
    augmenter: Augmenter | None,
) -> LatentPlan:
    """How the images of a split, all of `size` pixels, are encoded.

    The latents depend on the pixels (`dataset` is the fingerprint of their dataset), their
    preparation and the VAE's encoder. Encoding raises InputError for an image of another size or
    one that cannot be read.
    """
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    shape = (vae.config.latent_channels, size // factor, size // factor)
    variants = augmenter.config.variants if augmenter else 1

    def encode(rows: range) -> dict[str, Tensor]:
        return _posteriors(vae, _variants(split, rows, size, augmenter))

    contents = Contents(
        key=_key(split, vae, dataset, augmenter),
        items=len(split) * variants,
        tensors=dict.fromkeys(("mean", "std"), (torch.float16, shape)),
    )
    return LatentPlan(
        split=split,
        contents=contents,
        shape=shape,
        variants=variants,
        chunk=max(1, BATCH_PIXELS // size**2),
        encode=encode,
    )


def cache_latents(caches: Path, plan: LatentPlan, accelerator: "Accelerator") -> LatentCache:
    """Encode what is not yet encoded, each process its share, and open the cache.

    Raises InputError for latents that are not finite, and as encoding does.
    """
    cache = open_cache(
        plan.folder(caches),
        plan.contents,
        plan.encode,
        told=f"images of {plan.split.name}",
        chunk=plan.chunk,
        name_of=plan.name_of,
        processes=accelerator,
    )
    return LatentCache(cache, plan.shape, plan.variants)


def _key(
    split: FilteredSplit, vae: "AutoencoderKL", dataset: str, augmenter: Augmenter | None
) -> str:
    """Stands for all that the latents depend on."""
    ids = hashlib.sha256("\n".join(split.ids).encode()).hexdigest()
    encoder = module_fingerprint(nn.ModuleList([vae.encoder, vae.quant_conv]))
    options = [vae.config.norm_num_groups, vae.config.act_fn]  # which weights do not show
    augmentation = augmenter.identity if augmenter else None
    return fingerprint_of([FORM, dataset, split.name, ids, encoder, options, augmentation])


def _variants(
    split: FilteredSplit, rows: range, size: int, augmenter: Augmenter | None
) -> list[np.ndarray]:
    """The images of some rows of the cache, uint8 [size, size]; each is read once."""
    variants = augmenter.config.variants if augmenter else 1
    items = range(rows[0] // variants, rows[-1] // variants + 1)
    images = dict(zip(items, split.images[np.array(items)], strict=True))
    for item, image in images.items():
        if image.shape != (size, size):
            raise InputError(
                f"image {split[item].id!r} is {image.shape[1]}x{image.shape[0]}, others are "
                f"{size}x{size}: prepare the dataset with one size"
            )
    if augmenter is None:
        return [images[row] for row in rows]
    ids = {item: split[item].id for item in items}
    return [
        augmenter.variant(images[item], ids[item], variant)
        for item, variant in (divmod(row, variants) for row in rows)
    ]


@torch.no_grad()
def _posteriors(vae: "AutoencoderKL", images: Sequence[np.ndarray]) -> dict[str, Tensor]:
    """Mean and deviation of the VAE's posterior of images uint8 [H, W], each [N, C, h, w]."""
    pixels = torch.stack([to_tensor(image) for image in images])  # NCHW in [-1, 1]
    posterior = vae.encode(pixels.to(vae.device)).latent_dist
    return {"mean": posterior.mean, "std": posterior.std}
