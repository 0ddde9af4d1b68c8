"""What each item of each step draws, as a function of (seed, step, place in the batch) alone.

Neither rank nor slice nor restart changes a draw. A batch of 32 costs about 1 ms.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from roentgen.randomness import numpy_generator


@dataclass(frozen=True, kw_only=True)
class Draws:
    """The draws of N items; noises are standard normal, float32 [N, C, H, W]."""

    items: np.ndarray  # int64 [N]: which image
    styles: np.ndarray  # int64 [N]: which prompt style
    dropped: np.ndarray  # bool [N]: the prompt is replaced by the empty one
    timesteps: Tensor  # int64 [N]
    posterior_noise: Tensor
    noise: Tensor


class Plan:
    """The order of the items and all that is drawn for them."""

    def __init__(
        self,
        *,
        seed: int,
        items: int,
        batch: int,
        shape: tuple[int, ...],
        timesteps: int,
        style_weights: Sequence[float],
        caption_dropout: float,
    ) -> None:
        self._seed = seed
        self._items = items
        self._batch = batch
        self._shape = shape
        self._timesteps = timesteps
        self._style_ends = np.cumsum(style_weights) / np.sum(style_weights)
        self._caption_dropout = caption_dropout
        self._orders: dict[int, np.ndarray] = {}

    def item(self, position: int) -> int:
        """The item at a position counted from the start of training: each once an epoch."""
        epoch, place = divmod(position, self._items)
        if epoch not in self._orders:
            order = numpy_generator(self._seed, "order", epoch).permutation(self._items)
            # A batch may straddle two epochs; older ones are done with.
            self._orders = {e: o for e, o in self._orders.items() if e == epoch - 1} | {
                epoch: order
            }
        return int(self._orders[epoch][place])

    def draw(self, step: int, places: range) -> Draws:
        """What the items at `places` of a step's batch draw; steps count from 0."""
        n, shape = len(places), self._shape
        dropped = np.empty(n, dtype=bool)
        styles, timesteps = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
        noises = np.empty((2, n, *shape), dtype=np.float32)
        for i, place in enumerate(places):
            generator = numpy_generator(self._seed, "step", step, place)
            style, dropout = generator.random(2)
            styles[i] = np.searchsorted(self._style_ends, style, side="right")
            dropped[i] = dropout < self._caption_dropout
            timesteps[i] = generator.integers(self._timesteps)
            generator.standard_normal(out=noises[0, i], dtype=np.float32)
            generator.standard_normal(out=noises[1, i], dtype=np.float32)
        return Draws(
            items=np.array([self.item(step * self._batch + place) for place in places]),
            styles=styles,
            dropped=dropped,
            timesteps=torch.from_numpy(timesteps),
            posterior_noise=torch.from_numpy(noises[0]),
            noise=torch.from_numpy(noises[1]),
        )


def share(batch: int, rank: int, ranks: int, slices: int) -> Iterator[range]:
    """The places of a batch that a rank works on, slice by slice; all of equal length."""
    size = batch // (ranks * slices)
    first = rank * size * slices
    for i in range(slices):
        yield range(first + i * size, first + (i + 1) * size)


def validation_draws(
    seed: int, ids: Sequence[str], shape: tuple[int, ...], timesteps: int, *, items: Sequence[int]
) -> Draws:
    """Fixed draws for held-out `items`: noise from each one's id, timesteps evenly spread."""
    n = len(ids)
    noises = np.empty((2, n, *shape), dtype=np.float32)
    for i, name in enumerate(ids):
        numpy_generator(seed, "validate", name).standard_normal(out=noises[0, i], dtype=np.float32)
        numpy_generator(seed, "noise", name).standard_normal(out=noises[1, i], dtype=np.float32)
    # A fixed shuffle, so that neighbours in the dataset do not share a range of timesteps.
    order = numpy_generator(seed, "validate").permutation(n)
    spread = ((np.arange(n) + 0.5) / n * timesteps).astype(np.int64)
    return Draws(
        items=np.asarray(items),
        styles=np.zeros(n, dtype=np.int64),
        dropped=np.zeros(n, dtype=bool),
        timesteps=torch.from_numpy(spread[order]),
        posterior_noise=torch.from_numpy(noises[0]),
        noise=torch.from_numpy(noises[1]),
    )
