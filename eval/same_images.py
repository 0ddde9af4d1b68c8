"""Same images: those of a set that other splits hold too, to the last byte of their files."""

from collections.abc import Iterable
from hashlib import sha256

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from roentgen.dataset.dataset import RadiographSplit
from roentgen.dataset.image_set import ImageSet
from roentgen.randomness import numpy_generator

_MOST = 500  # images of a set that are searched for


def same_images(images: ImageSet, splits: Iterable[RadiographSplit], seed: int) -> tuple[int, int]:
    """How many of a set's images, of at most 500 sampled by the seed, the splits hold; and of n.

    Only files of equal length are read.
    """
    order = numpy_generator(seed, "same images", images.name).permutation(len(images))
    sampled = [images[row].image for row in np.sort(order[:_MOST]).tolist()]
    digests = [sha256(encoded).digest() for encoded in sampled]
    lengths = np.unique([len(encoded) for encoded in sampled])
    found: set[bytes] = set()
    for split in splits:
        for row in np.flatnonzero(np.isin(_lengths(split), lengths)).tolist():
            found.add(sha256(split[row].image).digest())
    return sum(digest in found for digest in digests), len(digests)


def _lengths(split: RadiographSplit) -> NDArray[np.int64]:
    """(N,): the bytes of each encoded image; no image is read."""
    column: pa.ChunkedArray = split.column("image")
    return np.asarray(pc.binary_length(pc.struct_field(column, "bytes")))
