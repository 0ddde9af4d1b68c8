"""What a step trains on: latents and token ids of the drawn items, by indexing alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from roentgen.errors import InputError
from roentgen.models.conditioning import TooLong, token_counts, tokenize_prompts
from roentgen.text.lengths import Lengths
from roentgen.text.prompts import PromptStyle, prompt_of
from train.draws import Draws
from train.kept import KeptSplit
from train.latents import LatentCache

if TYPE_CHECKING:
    from transformers import CLIPTokenizer


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One slice of a step, on the device."""

    latents: Tensor  # float32 [N, C, h, w], scaled
    noise: Tensor  # float32 [N, C, h, w]
    timesteps: Tensor  # int64 [N]
    ids: Tensor  # int64 [N, L]


class Prompts:
    """Token ids of every item in every style; the same prompt is held once."""

    def __init__(
        self,
        split: KeptSplit,
        styles: Sequence[PromptStyle],
        tokenizer: "CLIPTokenizer",
        too_long: TooLong,
    ) -> None:
        rows = {"": 0}  # the empty prompt, for caption dropout
        table = np.zeros((len(styles), len(split)), dtype=np.int64)
        for item, radiograph in enumerate(split.without_images()):
            for style, told in enumerate(styles):
                prompt = prompt_of(radiograph, told)
                table[style, item] = rows.setdefault(prompt, len(rows))
        self.lengths = self._check_lengths(split, list(rows), table, tokenizer, too_long)
        self._ids = tokenize_prompts(tokenizer, list(rows), too_long="truncate").int()
        self._table = table

    @staticmethod
    def _check_lengths(
        split: KeptSplit,
        prompts: list[str],
        table: np.ndarray,
        tokenizer: "CLIPTokenizer",
        too_long: TooLong,
    ) -> Lengths:
        """The lengths of the items' prompts, in all styles.

        Raises InputError for prompts beyond the limit, naming the items, unless they are cut.
        """
        counts = np.array(token_counts(tokenizer, prompts))
        lengths = Lengths(limit=tokenizer.model_max_length)
        lengths.counts.update(counts[table].ravel().tolist())
        beyond = (counts > tokenizer.model_max_length)[table].any(axis=0)
        if too_long == "truncate" or not beyond.any():
            return lengths
        first = int(beyond.argmax())
        raise InputError(
            f"{beyond.sum()} of {len(split)} radiographs in {split.name!r} have prompts beyond "
            f"{tokenizer.model_max_length} tokens (the first is {split[first].id!r}): leave them "
            "out, choose another prompt text, or set long_prompts: truncate"
        )

    def ids(self, draws: Draws) -> Tensor:
        """Token ids of the drawn prompts, int64 [N, L]."""
        rows = np.where(draws.dropped, 0, self._table[draws.styles, draws.items])
        return self._ids[torch.from_numpy(rows)].long()


class Examples:
    """A split, ready for training."""

    def __init__(self, latents: LatentCache, prompts: Prompts, scaling_factor: float) -> None:
        self.latents = latents
        self._prompts = prompts
        self._scaling_factor = scaling_factor

    def batch(
        self, draws: Draws, device: torch.device, memory_format: torch.memory_format
    ) -> Batch:
        """The drawn items: latents sampled from their posteriors and scaled."""
        mean, std = self.latents.posteriors(draws.items.tolist())
        latents = (mean + std * draws.posterior_noise) * self._scaling_factor
        return Batch(
            latents=latents.to(device, memory_format=memory_format),
            noise=draws.noise.to(device, memory_format=memory_format),
            timesteps=draws.timesteps.to(device),
            ids=self._prompts.ids(draws).to(device),
        )
