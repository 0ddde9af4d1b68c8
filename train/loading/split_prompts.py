"""Prompts of a split: those of every item in every style, the same prompt held once."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from roentgen.diffusion.components import Components
from roentgen.diffusion.conditions.prompt_encoding import (
    PromptLimit,
    token_counts,
    tokenize_prompts,
)
from roentgen.generation.prompt_rows import row_from_radiograph
from roentgen.generation.training_scope import Statement, TrainingStage, stated
from roentgen.preparation.filtered_split import FilteredSplit
from roentgen.prompts.grammar import PromptStyle
from roentgen.prompts.token_lengths import TokenLengths, TooLong
from train.loading.draws import Draws

EMPTY = 0  # the row of the empty prompt


class SplitPrompts:
    """Token ids of a split's distinct prompts, and the prompt of each item in each style."""

    def __init__(
        self,
        split: FilteredSplit,
        styles: Sequence[PromptStyle],
        components: Components,
        too_long: TooLong,
    ) -> None:
        """Raises InputError for prompts beyond the limit if `too_long` is "refuse"."""
        self.name = split.name
        tokenizer, chunks = components.tokenizer, components.prompt_chunks
        rows = {"": EMPTY}
        table = np.zeros((len(styles), len(split)), dtype=np.int64)
        counts: Counter[Statement] = Counter()
        for item, radiograph in enumerate(split.without_images()):
            statements: set[Statement] = set()
            for number, style in enumerate(styles):
                row = row_from_radiograph(radiograph, style)
                table[number, item] = rows.setdefault(row.prompt, len(rows))
                statements.update(stated(row, style))
            counts.update(statements)
        self.stage = TrainingStage.of(len(split), counts)
        tokens = np.array(token_counts(tokenizer, list(rows)))[table]
        limit = PromptLimit(tokenizer, chunks)
        self.lengths = TokenLengths(limit=limit.tokens)
        self.lengths.counts.update(tokens.ravel().tolist())
        if too_long == "refuse":
            limit.check(
                tokens.max(axis=0).tolist(),
                lambda item: f"{split.ids[item]!r} in {split.name!r}",
                "exclude such radiographs, choose another prompt text, give prompts more "
                "prompt_chunks, or set long_prompts: truncate",
            )
        # int32 [distinct prompts, L]
        self.ids = tokenize_prompts(tokenizer, list(rows), chunks=chunks, too_long="truncate").int()
        self._table = table

    def rows(self, draws: Draws) -> list[int]:
        """The rows of the drawn items' prompts among the distinct ones."""
        rows: list[int] = self._table[draws.styles, draws.items].tolist()
        return rows

    def text(self, rows: Sequence[int]) -> Tensor:
        """Token ids of these prompts, int64 [N, L]."""
        return self.ids[torch.tensor(rows)].long()
