"""The pixels of many radiographs, read when they are asked for: memory does not grow with n."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from roentgen.dataset.dataset import RadiographSplit
from roentgen.errors import InputError


class Images(Protocol):
    """Images, uint8 (N, H, W): an array, or one that reads rows when they are asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice | NDArray[np.integer], /) -> NDArray[np.uint8]: ...


class Pixels:
    """The images of some rows of a split, all of one square size (`size` pixels a side)."""

    def __init__(self, split: RadiographSplit, rows: NDArray[np.integer]) -> None:
        """Raises InputError for a first image that is not square; there must be one."""
        self._split, self._rows = split, rows
        (first,) = split.images([int(rows[0])])
        self.size = int(first.shape[0])
        self._check(first, int(rows[0]))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: slice | NDArray[np.integer], /) -> NDArray[np.uint8]:
        """uint8 (n, size, size). Raises InputError naming the first image of another size."""
        wanted = self._rows[rows].tolist()
        result = np.empty((len(wanted), self.size, self.size), np.uint8)
        for place, (row, image) in enumerate(zip(wanted, self._split.images(wanted), strict=True)):
            self._check(image, row)
            result[place] = image
        return result

    def _check(self, image: NDArray[np.uint8], row: int) -> None:
        if image.shape != (self.size, self.size):
            height, width = image.shape
            raise InputError(
                f"image {self._split[row].id!r} of {self._split.folder} is {width}x{height} "
                f"pixels, not {self.size}x{self.size}: prepare the set at one square size"
            )


class Chosen:
    """Some rows of a set of images."""

    def __init__(self, images: Images, rows: NDArray[np.integer]) -> None:
        self._images, self._rows = images, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: slice | NDArray[np.integer], /) -> NDArray[np.uint8]:
        """The images in the order of `rows`."""
        return self._images[self._rows[rows]]


class Joined:
    """Several sets of images, one after the other."""

    def __init__(self, parts: Sequence[Images]) -> None:
        self._parts = parts
        self._ends = list(accumulate(len(part) for part in parts))

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, rows: slice | NDArray[np.integer], /) -> NDArray[np.uint8]:
        """The images in the order of `rows`; those of a part are read together."""
        wanted = np.arange(len(self))[rows]
        owner = np.array([bisect_right(self._ends, row) for row in wanted.tolist()], dtype=int)
        result: NDArray[np.uint8] | None = None
        for number, part in enumerate(self._parts):
            mine = owner == number
            if mine.any() or result is None:
                images = part[wanted[mine] - (self._ends[number] - len(part))]
                if result is None:
                    result = np.empty((len(wanted), *images.shape[1:]), np.uint8)
                result[mine] = images
        assert result is not None
        return result
