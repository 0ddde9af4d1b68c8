"""Image variants: the items of a run's caches, an image and its augmented variants side by side."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from roentgen.dataset.image_set import ImageSet
from roentgen.errors import InputError
from train.loading.augment import Augmenter


@dataclass(frozen=True, kw_only=True)
class ImageVariants:
    """The images of a set with their variants; the first variant is the image itself."""

    images: ImageSet
    dataset: str  # its fingerprint
    size: int  # pixels a side of its images
    augmenter: Augmenter | None = None

    def __len__(self) -> int:
        return len(self.images) * self.count

    @property
    def count(self) -> int:
        """The number of variants of each image."""
        return self.augmenter.config.variants if self.augmenter else 1

    @property
    def name(self) -> str:
        """The name of the images' split."""
        return self.images.name

    @property
    def identity(self) -> list[Any]:
        """Values that identify the dataset, the split and its images."""
        ids = hashlib.sha256("\n".join(self.images.ids).encode()).hexdigest()
        return [self.dataset, self.images.name, ids]

    @property
    def augmentation(self) -> dict[str, Any] | None:
        """Values that identify the variants; None without any."""
        return self.augmenter.identity if self.augmenter else None

    def rows(self, items: Sequence[int], variants: Sequence[int] | None = None) -> list[int]:
        """The rows of these variants of items; by default of the images themselves."""
        numbers = [0] * len(items) if variants is None else variants
        return [item * self.count + v for item, v in zip(items, numbers, strict=True)]

    def row_name(self, row: int) -> str:
        """A row's radiograph, for messages."""
        return f"radiograph {self.images[row // self.count].id!r}"

    def pixels(self, rows: range) -> list[np.ndarray]:
        """The images of some rows, uint8 [size, size]; each is read once.

        Raises InputError for an image of another size.
        """
        items = range(rows[0] // self.count, rows[-1] // self.count + 1)
        images = dict(zip(items, self.images.images[np.array(items)], strict=True))
        for item, image in images.items():
            if image.shape != (self.size, self.size):
                raise InputError(
                    f"image {self.images[item].id!r} is {image.shape[1]}x{image.shape[0]}, others "
                    f"are {self.size}x{self.size}: prepare the dataset with one size"
                )
        if self.augmenter is None:
            return [images[row] for row in rows]
        ids = {item: self.images[item].id for item in items}
        return [
            self.augmenter.variant(images[item], ids[item], variant)
            for item, variant in (divmod(row, self.count) for row in rows)
        ]
