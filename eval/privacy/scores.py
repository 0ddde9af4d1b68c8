"""Near-duplicates of training images in every set, at a threshold of held-out radiographs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from roentgen.metrics.estimates import Estimate, Threshold, difference_of_shares, share_above
from roentgen.metrics.features.nearest import Nearest


@dataclass(frozen=True, kw_only=True)
class NearestTraining:
    """The most similar training image of each image of every set, by one measure."""

    sets: Mapping[str, Nearest]
    test: Nearest
    patients: Mapping[str, Sequence[str]]
    """The patient of each image of `everyone`."""
    threshold: Threshold
    """Similarity above which an image is a near-duplicate."""

    @property
    def everyone(self) -> dict[str, Nearest]:
        """The synthetic sets and the held-out radiographs."""
        return {**self.sets, "test": self.test}

    def shares(self) -> dict[str, Estimate]:
        """The share of near-duplicates in each set and among held-out radiographs."""
        return {
            name: share_above(near.similarity, self.patients[name], self.threshold)
            for name, near in self.everyone.items()
        }

    def excess(self) -> dict[str, Estimate]:
        """By how much each set's share exceeds that of held-out radiographs."""
        shares = self.shares()
        return {name: difference_of_shares(shares[name], shares["test"]) for name in self.sets}

    def most_similar(self, name: str, count: int) -> list[tuple[int, int, float]]:
        """Rows of the most similar pairs of a set and the train split, with the similarity."""
        near = self.sets[name]
        rows: list[int] = np.argsort(-near.similarity, kind="stable")[:count].tolist()
        return [(row, int(near.row[row]), float(near.similarity[row])) for row in rows]
