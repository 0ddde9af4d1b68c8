"""Random draws of training steps, each a function of (seed, step, place in the batch) alone.

Neither rank nor slice nor restart changes a draw. A batch of 32 costs about 1 ms.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from roentgen.diffusion.objective import offset_noise
from roentgen.randomness import numpy_generator
from train.config_sections import Dropout, TimestepSampling


@dataclass(frozen=True, kw_only=True)
class Draws:
    """The draws of N items; noises are normal, float32 [N, C, H, W]."""

    items: np.ndarray  # int64 [N]: index of the image
    variants: np.ndarray  # int64 [N]: number of its variant; 0 is the image itself
    styles: np.ndarray  # int64 [N]: index of the prompt style
    drops: Mapping[str, Tensor]  # bool [N] or [N, channels] by condition: it is withheld
    timesteps: Tensor  # int64 [N]
    posterior_noise: Tensor
    noise: Tensor  # standard but for the offset noise in it

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, places: Sequence[int]) -> "Draws":
        """The draws of some of the items."""
        return Draws(
            items=self.items[places],
            variants=self.variants[places],
            styles=self.styles[places],
            drops={name: drop[places] for name, drop in self.drops.items()},
            timesteps=self.timesteps[places],
            posterior_noise=self.posterior_noise[places],
            noise=self.noise[places],
        )


@dataclass(frozen=True, kw_only=True)
class DrawSettings:
    """What is drawn from."""

    seed: int
    items: int
    batch_size: int
    shape: tuple[int, ...]  # of an item's latents
    timesteps: int
    style_weights: Sequence[float]
    caption_dropout: float
    timestep_sampling: TimestepSampling = "uniform"
    offset_noise: float = 0.0
    variants: int = 1  # of each image
    dropouts: Mapping[str, Dropout] = field(default_factory=dict)  # by condition, without the text


class DrawPlan:
    """The order of the items and all that is drawn for them."""

    def __init__(self, settings: DrawSettings) -> None:
        self._settings = settings
        weights = settings.style_weights
        self._style_ends = np.cumsum(weights) / np.sum(weights)
        self._orders: dict[int, np.ndarray] = {}

    def item(self, position: int) -> int:
        """The item at a position counted from the start of training: each once an epoch."""
        seed, items = self._settings.seed, self._settings.items
        epoch, place = divmod(position, items)
        order = self._orders.get(epoch)
        if order is None:
            order = numpy_generator(seed, "order", epoch).permutation(items)
            # A batch may straddle two epochs; older ones are done with.
            self._orders = {e: o for e, o in self._orders.items() if e == epoch - 1} | {
                epoch: order
            }
        return int(order[place])  # not looked up again: several threads ask

    def draw(self, step: int, places: range) -> Draws:
        """The draws of the items at `places` of a step's batch; steps count from 0."""
        settings, n = self._settings, len(places)
        shape = settings.shape
        chances, noises = np.empty((n, 2)), np.empty((2, n, *shape), dtype=np.float32)
        shared = np.empty((n, shape[0], *[1] * (len(shape) - 1)), dtype=np.float32)
        timesteps, variants = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
        withheld = {k: np.empty((n, 1 + of.channels)) for k, of in settings.dropouts.items()}
        for i, place in enumerate(places):
            # All values are drawn even if unused, and new ones are appended, so that existing draws
            # do not change.
            generator = numpy_generator(settings.seed, "step", step, place)
            generator.random(out=chances[i])
            timesteps[i] = generator.integers(settings.timesteps)
            generator.standard_normal(out=noises[0, i], dtype=np.float32)
            generator.standard_normal(out=noises[1, i], dtype=np.float32)
            generator.standard_normal(out=shared[i], dtype=np.float32)
            variants[i] = generator.integers(settings.variants)
            for chance in withheld.values():
                generator.random(out=chance[i])
        match settings.timestep_sampling:
            case "stratified":
                timesteps = self._strata(step)[places.start : places.stop : places.step]
            case "cubic":
                timesteps = cubic(timesteps, settings.timesteps)
        drops = {"text": chances[:, 1] < settings.caption_dropout}
        for name, chance in withheld.items():
            drops[name] = _dropped(chance, settings.dropouts[name])
        posterior_noise, noise = torch.from_numpy(noises)
        return Draws(
            items=np.array([self.item(step * settings.batch_size + place) for place in places]),
            variants=variants,
            styles=np.searchsorted(self._style_ends, chances[:, 0], side="right"),
            drops={name: torch.from_numpy(drop) for name, drop in drops.items()},
            timesteps=torch.from_numpy(timesteps),
            posterior_noise=posterior_noise,
            noise=offset_noise(noise, torch.from_numpy(shared), settings.offset_noise),
        )

    def _strata(self, step: int) -> np.ndarray:
        """The timesteps of a step's whole batch, int64 [batch]: one from each equal share of them.

        Each alone is uniform.
        """
        batch, timesteps = self._settings.batch_size, self._settings.timesteps
        generator = numpy_generator(self._settings.seed, "strata", step)
        strata, within = generator.permutation(batch), generator.random(batch)
        drawn = ((strata + within) / batch * timesteps).astype(np.int64)
        return np.minimum(drawn, timesteps - 1)  # where the sum was rounded up


def _dropped(chance: np.ndarray, dropout: Dropout) -> np.ndarray:
    """Whether a condition [N], or each of its channels [N, channels], is withheld."""
    every, channels = chance[:, :1] < dropout.rate, chance[:, 1:] < dropout.channel_rate
    return np.asarray(every | channels) if dropout.channels else every[:, 0]


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
) -> Draws:
    """Fixed draws for held-out `items`: noise from each one's id, timesteps evenly spaced.

    No condition is dropped.
    """
    n = len(ids)
    noises = np.empty((2, n, *shape), dtype=np.float32)
    for i, name in enumerate(ids):
        numpy_generator(seed, "validate", name).standard_normal(out=noises[0, i], dtype=np.float32)
        numpy_generator(seed, "noise", name).standard_normal(out=noises[1, i], dtype=np.float32)
    # A fixed shuffle, so that neighbors in the dataset do not share a range of timesteps.
    order = numpy_generator(seed, "validate").permutation(n)
    spread = ((np.arange(n) + 0.5) / n * timesteps).astype(np.int64)
    return Draws(
        items=np.asarray(items),
        variants=np.zeros(n, dtype=np.int64),
        styles=np.zeros(n, dtype=np.int64),
        drops={},
        timesteps=torch.from_numpy(spread[order]),
        posterior_noise=torch.from_numpy(noises[0]),
        noise=torch.from_numpy(noises[1]),
    )
