"""Every image's masks on disk as bits, beside the latents; after that, training reads no mask.

An augmented split has the masks of each variant, moved as its image is.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from roentgen.cache import Cache, Contents, open_cache
from roentgen.dataset.structure_masks import masks_of
from roentgen.manifest import fingerprint_of
from train.loading.augment import Augmenter, move_mask
from train.loading.filtered_split import FilteredSplit

if TYPE_CHECKING:
    from accelerate import Accelerator

FORM = "bits of masks, and which are known"  # changes with what the cache holds for the same masks
CHUNK = 64  # items that are packed together


class MaskCache:
    """The masks of a split's images and of their variants, in the split's order."""

    def __init__(self, cache: Cache, variants: int) -> None:
        self._cache = cache
        self._variants = variants

    def conditions(self, items: Sequence[int], variants: Sequence[int]) -> Tensor:
        """What a ControlNet is shown, float32 [N, structures, H, W]; see `models.control`."""
        rows = [i * self._variants + v for i, v in zip(items, variants, strict=True)]
        bits = np.unpackbits(self._cache.read("bits", rows).numpy(), axis=-1)
        known = self._cache.read("known", rows)[:, :, None, None]
        return (torch.from_numpy(bits).float() * 2 - 1) * known


def cache_masks(
    caches: Path,
    split: FilteredSplit,
    structures: Sequence[str],
    *,
    dataset: str,
    size: int,
    augmenter: Augmenter | None,
    accelerator: "Accelerator",
) -> MaskCache:
    """Pack what is not yet packed, each process its share, and open the cache.

    `dataset` is the fingerprint of the split's dataset; `size`, which 8 divides, is that of its
    images in pixels. Raises InputError for a mask that does not lie on its image.
    """
    variants = augmenter.config.variants if augmenter else 1

    def pack(rows: range) -> dict[str, Tensor]:
        bits = np.zeros((len(rows), len(structures), size, size // 8), dtype=np.uint8)
        known = np.zeros((len(rows), len(structures)), dtype=np.uint8)
        for place, row in enumerate(rows):
            item, variant = divmod(row, variants)
            radiograph = split[item]
            masks = masks_of(radiograph, structures, size)
            for channel, mask in enumerate(masks[name] for name in structures):
                if mask is None:
                    continue
                if augmenter and variant:
                    mask = move_mask(mask, augmenter.change(radiograph.id, variant))
                known[place, channel] = 1
                bits[place, channel] = np.packbits(mask, axis=-1)
        return {"bits": torch.from_numpy(bits), "known": torch.from_numpy(known)}

    key = _key(split, structures, dataset, augmenter)
    contents = Contents(
        key=key,
        items=len(split) * variants,
        tensors={
            "bits": (torch.uint8, (len(structures), size, size // 8)),
            "known": (torch.uint8, (len(structures),)),
        },
    )
    cache = open_cache(
        caches / f"masks-{split.name}-{key}",
        contents,
        pack,
        told=f"masks of {split.name}",
        chunk=CHUNK,
        name_of=lambda row: f"radiograph {split[row // variants].id!r}",
        processes=accelerator,
    )
    return MaskCache(cache, variants)


def _key(
    split: FilteredSplit, structures: Sequence[str], dataset: str, augmenter: Augmenter | None
) -> str:
    """Stands for all that the masks depend on."""
    ids = hashlib.sha256("\n".join(split.ids).encode()).hexdigest()
    augmentation = augmenter.identity if augmenter else None
    return fingerprint_of([FORM, dataset, split.name, ids, list(structures), augmentation])
