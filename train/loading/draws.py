"""What each item of each step draws, as a function of (seed, step, place in the batch) alone.

Neither rank nor slice nor restart changes a draw. A batch of 32 costs about 1 ms.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from roentgen.diffusion.objective import offset_noise
from roentgen.randomness import numpy_generator
from train.config_sections import TimestepSampling


@dataclass(frozen=True, kw_only=True)
class Draws:
    """The draws of N items; noises are normal, float32 [N, C, H, W]."""

    items: np.ndarray  # int64 [N]: which image
    variants: np.ndarray  # int64 [N]: which variant of it; 0 is the image itself
    styles: np.ndarray  # int64 [N]: which prompt style
    dropped: np.ndarray  # bool [N]: the prompt is replaced by the empty one
    hidden: np.ndarray  # bool [N, structures]: the ControlNet is not shown the mask
    timesteps: Tensor  # int64 [N]
    posterior_noise: Tensor
    noise: Tensor  # standard but for the offset noise that is in it


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
        spread: TimestepSampling = "uniform",
        offset_noise: float = 0.0,
        variants: int = 1,
        structures: int = 0,
        mask_dropout: float = 0.0,
        structure_dropout: float = 0.0,
    ) -> None:
        self._seed = seed
        self._items = items
        self._batch = batch
        self._shape = shape
        self._timesteps = timesteps
        self._style_ends = np.cumsum(style_weights) / np.sum(style_weights)
        self._caption_dropout = caption_dropout
        self._spread = spread
        self._offset_noise = offset_noise
        self._variants = variants
        self._structures = structures
        self._mask_dropout = mask_dropout
        self._structure_dropout = structure_dropout
        self._orders: dict[int, np.ndarray] = {}

    def item(self, position: int) -> int:
        """The item at a position counted from the start of training: each once an epoch."""
        epoch, place = divmod(position, self._items)
        order = self._orders.get(epoch)
        if order is None:
            order = numpy_generator(self._seed, "order", epoch).permutation(self._items)
            # A batch may straddle two epochs; older ones are done with.
            self._orders = {e: o for e, o in self._orders.items() if e == epoch - 1} | {
                epoch: order
            }
        return int(order[place])  # not looked up again: several threads ask

    def draw(self, step: int, places: range) -> Draws:
        """What the items at `places` of a step's batch draw; steps count from 0."""
        n, shape = len(places), self._shape
        chances, noises = np.empty((n, 2)), np.empty((2, n, *shape), dtype=np.float32)
        shared = np.empty((n, shape[0], *[1] * (len(shape) - 1)), dtype=np.float32)
        timesteps, variants = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
        shown = np.empty((n, 1 + self._structures))
        for i, place in enumerate(places):
            # All is drawn, wanted or not, and what is new comes last: so no draw moves another.
            generator = numpy_generator(self._seed, "step", step, place)
            generator.random(out=chances[i])
            timesteps[i] = generator.integers(self._timesteps)
            generator.standard_normal(out=noises[0, i], dtype=np.float32)
            generator.standard_normal(out=noises[1, i], dtype=np.float32)
            generator.standard_normal(out=shared[i], dtype=np.float32)
            variants[i] = generator.integers(self._variants)
            generator.random(out=shown[i])
        match self._spread:
            case "stratified":
                timesteps = self._strata(step)[places.start : places.stop : places.step]
            case "cubic":
                timesteps = cubic(timesteps, self._timesteps)
        posterior_noise, noise = torch.from_numpy(noises)
        return Draws(
            items=np.array([self.item(step * self._batch + place) for place in places]),
            variants=variants,
            styles=np.searchsorted(self._style_ends, chances[:, 0], side="right"),
            dropped=chances[:, 1] < self._caption_dropout,
            hidden=(shown[:, :1] < self._mask_dropout) | (shown[:, 1:] < self._structure_dropout),
            timesteps=torch.from_numpy(timesteps),
            posterior_noise=posterior_noise,
            noise=offset_noise(noise, torch.from_numpy(shared), self._offset_noise),
        )

    def _strata(self, step: int) -> np.ndarray:
        """The timesteps of a step's whole batch, int64 [batch]: one from each equal share of them.

        Each alone is as likely as any other.
        """
        generator = numpy_generator(self._seed, "strata", step)
        strata, within = generator.permutation(self._batch), generator.random(self._batch)
        drawn = ((strata + within) / self._batch * self._timesteps).astype(np.int64)
        return np.minimum(drawn, self._timesteps - 1)  # where the sum was rounded up


def cubic(timesteps: np.ndarray, count: int) -> np.ndarray:
    """Uniform timesteps below `count`, moved to where there is much noise, int64 [N].

    t becomes (1 - (t / count)^3) count (Mou et al. 2023, sec. 3.4).
    """
    moved = (1 - (timesteps / count) ** 3) * count
    return np.minimum(moved.astype(np.int64), count - 1)


def share(batch: int, rank: int, ranks: int, slices: int) -> Iterator[range]:
    """The places of a batch that a rank works on, slice by slice; all of equal length."""
    size = batch // (ranks * slices)
    first = rank * size * slices
    for i in range(slices):
        yield range(first + i * size, first + (i + 1) * size)


def validation_draws(
    seed: int,
    ids: Sequence[str],
    shape: tuple[int, ...],
    timesteps: int,
    *,
    items: Sequence[int],
    structures: int = 0,
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
        variants=np.zeros(n, dtype=np.int64),
        styles=np.zeros(n, dtype=np.int64),
        dropped=np.zeros(n, dtype=bool),
        hidden=np.zeros((n, structures), dtype=bool),
        timesteps=torch.from_numpy(spread[order]),
        posterior_noise=torch.from_numpy(noises[0]),
        noise=torch.from_numpy(noises[1]),
    )
