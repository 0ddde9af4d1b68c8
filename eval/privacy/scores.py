"""Near-duplicates of training images in every set, at a threshold of held-out radiographs."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from roentgen.metrics.estimates import Estimate, Threshold, difference_of_proportions, share_above
from roentgen.metrics.features.nearest import Nearest


@dataclass(frozen=True, kw_only=True)
class NearestTraining:
    """The most similar training image of each image of every set, by one measure."""

    sets: Mapping[str, Nearest]
    test: Nearest
    threshold: Threshold
    """Similarity above which an image is a near-duplicate."""

    @property
    def everyone(self) -> dict[str, Nearest]:
        """The synthetic sets and the held-out radiographs."""
        return {**self.sets, "test": self.test}

    def shares(self) -> dict[str, Estimate]:
        """The share of near-duplicates in each set and among held-out radiographs."""
        return {
            n: share_above(near.similarity, self.threshold) for n, near in self.everyone.items()
        }

    def excess(self) -> dict[str, Estimate]:
        """By how much each set's share exceeds that of held-out radiographs."""
        counts = {
            name: (int((near.similarity > self.threshold.value).sum()), len(near.similarity))
            for name, near in self.everyone.items()
        }
        of_test, n_test = counts["test"]
        return {
            name: difference_of_proportions((counts[name][0], of_test), (counts[name][1], n_test))
            for name in self.sets
        }

    def most_similar(self, name: str, count: int) -> list[tuple[int, int, float]]:
        """Rows of the most similar pairs of a set and the train split, with the similarity."""
        near = self.sets[name]
        rows: list[int] = np.argsort(-near.similarity, kind="stable")[:count].tolist()
        return [(row, int(near.row[row]), float(near.similarity[row])) for row in rows]
