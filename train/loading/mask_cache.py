"""Structure masks as a training condition, cached as bits beside the latents.

After that, training reads no mask. An augmented split has the masks of each variant, moved as its
image is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from roentgen.cache import Cache, CacheContents, open_cache
from roentgen.dataset.dataset import RadiographDataset, RadiographSplit
from roentgen.dataset.structure_masks import (
    annotated_structures,
    check_structures,
    is_any_known,
    masks_of,
)
from roentgen.diffusion.conditions.conditions import Conditions
from roentgen.manifest import fingerprint_of
from roentgen.record.radiograph import Radiograph
from train.loading.augment import move_mask
from train.loading.draws import Draws
from train.loading.image_variants import ImageVariants
from train.loading.training_conditions import TrainingCondition

if TYPE_CHECKING:
    from accelerate import Accelerator

FORM = "bits of masks, and which are known"  # changes with what the cache holds for the same masks
CHUNK = 64  # rows that are packed together


class MaskCache:
    """The masks of a split's images and of their variants, in the split's order."""

    def __init__(self, cache: Cache, images: ImageVariants) -> None:
        self._cache = cache
        self._images = images

    def __call__(self, draws: Draws) -> Conditions:
        """See `ConditionCache`."""
        return Conditions(masks=self.masks(draws.items.tolist(), draws.variants.tolist()))

    def masks(self, items: Sequence[int], variants: Sequence[int]) -> Tensor:
        """The masks of items' variants; see `Conditions`."""
        rows = self._images.rows(items, variants)
        bits = np.unpackbits(self._cache.read("bits", rows).numpy(), axis=-1)
        known = self._cache.read("known", rows)[:, :, None, None]
        return (torch.from_numpy(bits).float() * 2 - 1) * known


@dataclass(frozen=True, kw_only=True)
class MaskCondition(TrainingCondition):
    """Masks of structures, a channel each; see `TrainingCondition`."""

    structures: tuple[str, ...]
    name: str = "masks"

    def check(self, dataset: RadiographDataset, split: str) -> None:
        """Raises InputError unless the split has masks of every structure."""
        counts = dataset.manifest["counts"][split]
        check_structures(counts, self.structures, str(dataset.folder), split)

    def exclusion(self, split: RadiographSplit) -> Callable[[int, Radiograph], str | None]:
        """Radiographs without any known mask cannot be trained on."""
        annotated = annotated_structures(split)

        def reason(row: int, radiograph: Radiograph) -> str | None:
            if is_any_known(radiograph, annotated(row), self.structures):
                return None
            return f"no mask of {', '.join(self.structures)}"

        return reason

    def bytes_per_image(self, size: int) -> int:
        """A bit for each pixel of a structure, and a byte for whether its mask is known."""
        return len(self.structures) * (size**2 // 8 + 1)

    def example(self, count: int, size: int) -> Conditions:
        """Unknown masks."""
        return Conditions(masks=torch.zeros(count, len(self.structures), size, size))

    def cache(self, images: ImageVariants, folder: Path, accelerator: "Accelerator") -> MaskCache:
        """Pack the masks not yet packed; the images' size is a multiple of 8.

        Raises InputError for a mask that does not fit its image.
        """
        structures, size = self.structures, images.size

        def pack(rows: range) -> dict[str, Tensor]:
            bits = np.zeros((len(rows), len(structures), size, size // 8), dtype=np.uint8)
            known = np.zeros((len(rows), len(structures)), dtype=np.uint8)
            for place, row in enumerate(rows):
                item, variant = divmod(row, images.count)
                radiograph = images.images[item]
                masks = masks_of(radiograph, structures, size)
                for channel, mask in enumerate(masks[name] for name in structures):
                    if mask is None:
                        continue
                    if images.augmenter and variant:
                        mask = move_mask(mask, images.augmenter.change(radiograph.id, variant))
                    known[place, channel] = 1
                    bits[place, channel] = np.packbits(mask, axis=-1)
            return {"bits": torch.from_numpy(bits), "known": torch.from_numpy(known)}

        key = fingerprint_of([FORM, *images.identity, list(structures), images.augmentation])
        contents = CacheContents(
            key=key,
            items=len(images),
            tensors={
                "bits": (torch.uint8, (len(structures), size, size // 8)),
                "known": (torch.uint8, (len(structures),)),
            },
        )
        cache = open_cache(
            folder / f"masks-{images.name}-{key}",
            contents,
            pack,
            label=f"masks of {images.name}",
            chunk=CHUNK,
            name_of=images.row_name,
            processes=accelerator,
        )
        return MaskCache(cache, images)
