"""Batches: latents, noise and conditions of the drawn items, read from memory-mapped caches."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from roentgen.diffusion.conditions.conditions import Conditions
from train.loading.draws import Draws
from train.loading.latent_cache import LatentCache
from train.loading.split_prompts import EMPTY, SplitPrompts
from train.loading.training_conditions import ConditionCache


class TextSource(Protocol):
    """The text of distinct prompts: their token ids, or cached states of them."""

    def text(self, rows: Sequence[int]) -> Tensor:
        """Token ids, int64 [N, L], or a frozen text encoder's states, float32 [N, L, D]."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One slice of a step."""

    items: np.ndarray  # int64 [N]: their indices in the split
    latents: Tensor  # float32 [N, C, h, w], scaled
    noise: Tensor  # float32 [N, C, h, w]
    timesteps: Tensor  # int64 [N]
    conditions: Conditions

    def pinned(self) -> "Batch":
        """In memory from which a CUDA GPU copies asynchronously."""
        return self._each(Tensor.pin_memory, self.conditions.pinned())

    def to(self, device: torch.device) -> "Batch":
        """On the device, without waiting for the copies."""
        conditions = self.conditions.to(device)
        return self._each(lambda tensor: tensor.to(device, non_blocking=True), conditions)

    def _each(self, change: Callable[[Tensor], Tensor], conditions: Conditions) -> "Batch":
        return replace(
            self,
            latents=change(self.latents),
            noise=change(self.noise),
            timesteps=change(self.timesteps),
            conditions=conditions,
        )


@dataclass(frozen=True, kw_only=True)
class Examples:
    """The latents and conditions of a split, from which batches are taken."""

    latents: LatentCache
    scaling_factor: float
    prompts: SplitPrompts
    text: TextSource  # of the distinct prompts
    conditions: Sequence[ConditionCache] = ()  # besides the text

    def batch(self, draws: Draws, memory_format: torch.memory_format) -> Batch:
        """The drawn items on the CPU: latents sampled from their posteriors and scaled."""
        mean, std = self.latents.posteriors(draws.items.tolist(), draws.variants.tolist())
        latents = (mean + std * draws.posterior_noise) * self.scaling_factor
        given = Conditions(text=self.text.text(self.prompts.rows(draws)))
        for cache in self.conditions:
            given |= cache(draws)
        return Batch(
            items=draws.items,
            latents=latents.contiguous(memory_format=memory_format),
            noise=draws.noise.contiguous(memory_format=memory_format),
            timesteps=draws.timesteps,
            conditions=given.dropped(draws.drops, Conditions(text=self.text.text([EMPTY]))),
        )


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Held-out examples with the fixed draws that the validation loss is measured at."""

    examples: Examples
    draws: Draws
