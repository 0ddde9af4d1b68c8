"""Images -> features, batch by batch, so that only one batch is ever decoded."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from roentgen.data.dataset import RadiographSplit
from roentgen.errors import InputError
from roentgen.models.extractor import Extractor

BATCH = 64


def image_batches(
    split: RadiographSplit, rows: NDArray[np.int64], size: int | None = None
) -> Iterator[NDArray[np.uint8]]:
    """(n, H, W) batches of these rows. Raises InputError naming the first image of another size."""
    for start in range(0, len(rows), BATCH):
        indices = rows[start : start + BATCH].tolist()
        images = split.images(indices)
        size = size or images[0].shape[0]
        for index, image in zip(indices, images, strict=True):
            if image.shape != (size, size):
                height, width = image.shape
                raise InputError(
                    f"image {split[index].id!r} of {split.folder} is {width}x{height} pixels, not "
                    f"{size}x{size}: prepare the set at one square size"
                )
        yield np.stack(images)


def extract_features(
    split: RadiographSplit, rows: NDArray[np.int64], extractor: Extractor
) -> NDArray[np.float32]:
    """(n, d) features of these rows."""
    return np.concatenate([extractor(batch) for batch in image_batches(split, rows)])
