"""What a step trains on: latents and prompts of the drawn items, by indexing alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from roentgen.diffusion.conditions.conditions import Conditions
from roentgen.diffusion.conditions.prompt_encoding import (
    PromptLimit,
    TooLong,
    token_counts,
    tokenize_prompts,
)
from roentgen.prompts.grammar import PromptStyle, prompt_of
from roentgen.prompts.token_lengths import TokenLengths
from train.loading.draws import Draws
from train.loading.filtered_split import FilteredSplit
from train.loading.latent_cache import LatentCache
from train.loading.mask_cache import MaskCache
from train.loading.text_cache import StatesCache


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One slice of a step."""

    items: np.ndarray  # int64 [N]: which of the split
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
        return Batch(
            items=self.items,
            latents=change(self.latents),
            noise=change(self.noise),
            timesteps=change(self.timesteps),
            conditions=conditions,
        )


class Prompts:
    """The prompts of every item in every style; the same prompt is held once."""

    def __init__(
        self,
        split: FilteredSplit,
        styles: Sequence[PromptStyle],
        tokenizer: Any,
        *,
        chunks: int,
        too_long: TooLong,
    ) -> None:
        rows = {"": 0}  # the empty prompt, for caption dropout
        table = np.zeros((len(styles), len(split)), dtype=np.int64)
        for item, radiograph in enumerate(split.without_images()):
            for style, told in enumerate(styles):
                prompt = prompt_of(radiograph, told)
                table[style, item] = rows.setdefault(prompt, len(rows))
        counts = np.array(token_counts(tokenizer, list(rows)))[table]
        limit = PromptLimit(tokenizer, chunks)
        self.lengths = TokenLengths(limit=limit.tokens)
        self.lengths.counts.update(counts.ravel().tolist())
        if too_long == "refuse":
            limit.check(
                counts.max(axis=0).tolist(),
                lambda item: f"{split[item].id!r} in {split.name!r}",
                "exclude such radiographs, choose another prompt text, give prompts more "
                "prompt_chunks, or set long_prompts: truncate",
            )
        # int32 [distinct prompts, L]
        self.ids = tokenize_prompts(tokenizer, list(rows), chunks=chunks, too_long="truncate").int()
        self._table = table

    def rows(self, draws: Draws) -> np.ndarray:
        """Which of the distinct prompts are drawn, int64 [N]."""
        return np.where(draws.dropped, 0, self._table[draws.styles, draws.items])


class Examples:
    """A split, ready for training."""

    def __init__(
        self,
        latents: LatentCache,
        prompts: Prompts,
        scaling_factor: float,
        states: StatesCache | None = None,
        masks: MaskCache | None = None,
    ) -> None:
        self.latents = latents
        self._prompts = prompts
        self._scaling_factor = scaling_factor
        self._states = states  # of a frozen text encoder
        self._masks = masks

    def batch(self, draws: Draws, memory_format: torch.memory_format) -> Batch:
        """The drawn items on the CPU: latents sampled from their posteriors and scaled."""
        mean, std = self.latents.posteriors(draws.items.tolist(), draws.variants.tolist())
        latents = (mean + std * draws.posterior_noise) * self._scaling_factor
        return Batch(
            items=draws.items,
            latents=latents.contiguous(memory_format=memory_format),
            noise=draws.noise.contiguous(memory_format=memory_format),
            timesteps=draws.timesteps,
            conditions=Conditions(text=self._told(draws), masks=self._shown(draws)),
        )

    def _shown(self, draws: Draws) -> Tensor | None:
        """The drawn items' masks, but for those that are hidden."""
        if self._masks is None:
            return None
        conditions = self._masks.conditions(draws.items.tolist(), draws.variants.tolist())
        return conditions * ~torch.from_numpy(draws.hidden)[:, :, None, None]

    def _told(self, draws: Draws) -> Tensor:
        """The drawn prompts; see `Batch`."""
        rows = self._prompts.rows(draws)
        if self._states:
            return self._states.states(rows.tolist())
        return self._prompts.ids[torch.from_numpy(rows)].long()
