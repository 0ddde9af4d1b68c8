"""Latent cache: every image through the VAE once, its posterior's mean and deviation on disk.

After that, training reads no image and samples latents from the posteriors. An augmented split has
a posterior for each variant.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from roentgen.cache import Cache, CacheContents, open_cache
from roentgen.diffusion.backbones.stable_diffusion import module_fingerprint
from roentgen.imaging.images import to_tensor
from roentgen.manifest import fingerprint_of
from train.loading.image_variants import ImageVariants

if TYPE_CHECKING:
    from accelerate import Accelerator
    from diffusers import AutoencoderKL

BATCH_PIXELS = 2**19  # a batch of the VAE: 32 images at 128 px, 2 at 512
FORM = "mean and deviation, float16"  # changes with what the cache holds for the same images


@dataclass(frozen=True, kw_only=True)
class LatentPlan:
    """How the images of a split are encoded."""

    images: ImageVariants
    contents: CacheContents
    shape: tuple[int, ...]  # (C, h, w)
    chunk: int  # rows of the cache that are encoded together
    encode: Callable[[range], dict[str, Tensor]]

    def folder(self, caches: Path) -> Path:
        """The cache's folder, named for all that the latents depend on."""
        return caches / f"latents-{self.images.name}-{self.contents.key}"


class LatentCache:
    """The posteriors of a split's images and of their variants, in the split's order."""

    def __init__(self, cache: Cache, plan: LatentPlan) -> None:
        self.shape = plan.shape
        self._cache = cache
        self._images = plan.images

    def posteriors(
        self, items: Sequence[int], variants: Sequence[int] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Means and deviations, unscaled, each float32 [N, C, h, w].

        Without `variants` they are those of the images themselves.
        """
        rows = self._images.rows(items, variants)
        return self._cache.read("mean", rows), self._cache.read("std", rows)


def plan_latents(images: ImageVariants, vae: "AutoencoderKL") -> LatentPlan:
    """How images are encoded, all of `images.size` pixels.

    The latents depend on the pixels, identified by their dataset, on the augmentation and on the
    VAE's encoder. Encoding raises InputError for an image of another size or one that cannot be
    read.
    """
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    shape = (vae.config.latent_channels, images.size // factor, images.size // factor)

    def encode(rows: range) -> dict[str, Tensor]:
        return _posteriors(vae, images.pixels(rows))

    contents = CacheContents(
        key=_key(images, vae),
        items=len(images),
        tensors=dict.fromkeys(("mean", "std"), (torch.float16, shape)),
    )
    return LatentPlan(
        images=images,
        contents=contents,
        shape=shape,
        chunk=max(1, BATCH_PIXELS // images.size**2),
        encode=encode,
    )


def cache_latents(caches: Path, plan: LatentPlan, accelerator: "Accelerator") -> LatentCache:
    """Encode the images not yet encoded, each process its share, and open the cache.

    Raises InputError for latents that are not finite, and as encoding does.
    """
    cache = open_cache(
        plan.folder(caches),
        plan.contents,
        plan.encode,
        label=f"images of {plan.images.name}",
        chunk=plan.chunk,
        name_of=plan.images.row_name,
        processes=accelerator,
    )
    return LatentCache(cache, plan)


def _key(images: ImageVariants, vae: "AutoencoderKL") -> str:
    """Fingerprint of all that the latents depend on."""
    encoder = module_fingerprint(nn.ModuleList([vae.encoder, vae.quant_conv]))
    options = [vae.config.norm_num_groups, vae.config.act_fn]  # which weights do not show
    return fingerprint_of([FORM, *images.identity, encoder, options, images.augmentation])


@torch.no_grad()
def _posteriors(vae: "AutoencoderKL", images: Sequence[np.ndarray]) -> dict[str, Tensor]:
    """Mean and deviation of the VAE's posterior of images uint8 [H, W], each [N, C, h, w]."""
    pixels = torch.stack([to_tensor(image) for image in images])  # NCHW in [-1, 1]
    posterior = vae.encode(pixels.to(vae.device)).latent_dist
    return {"mean": posterior.mean, "std": posterior.std}
