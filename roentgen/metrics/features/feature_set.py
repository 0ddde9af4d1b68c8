"""Features of a set, in memory or on disk, and the patient of each row."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from roentgen.metrics.finite import require_finite

BLOCK = 1024  # rows processed together: memory does not grow with n


class Features(Protocol):
    """Features (n, d): an array, or an object that reads rows when they are indexed."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, d)."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice | NDArray[np.integer], /) -> NDArray[Any]: ...


class SelectedRows:
    """A selection of rows of features."""

    def __init__(self, features: Features, rows: NDArray[np.integer]) -> None:
        self._features, self._rows = features, rows
        self.shape = (len(rows), features.shape[1])

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: slice | NDArray[np.integer], /) -> NDArray[Any]:
        """The features in the order of `rows`."""
        return self._features[self._rows[rows]]


@dataclass(frozen=True, kw_only=True)
class FeatureSet:
    """Features (n, d) and the patient of each row: patients are resampled, not rows."""

    features: Features
    patients: Sequence[str]

    def __len__(self) -> int:
        return len(self.patients)

    def take(self, rows: NDArray[np.integer]) -> "FeatureSet":
        """These rows alone."""
        return FeatureSet(
            features=SelectedRows(self.features, rows),
            patients=[self.patients[row] for row in rows],
        )


def blocks(features: Features, size: int = BLOCK) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Slices of rows with their features, in a buffer that is reused.

    Raises InputError where features are NaN or infinite.
    """
    buffer = np.empty((min(size, len(features)), features.shape[1]))
    for start in range(0, len(features), size):
        rows = slice(start, min(start + size, len(features)))
        block = buffer[: rows.stop - start]
        np.copyto(block, features[rows])
        require_finite(block, "features", first=start)
        yield rows, block


def whole(features: Features) -> NDArray[np.float64]:
    """All features (n, d) at once; n is at least 1. Raises InputError as `blocks`."""
    _, values = next(blocks(features, len(features)))
    return values
