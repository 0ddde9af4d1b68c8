"""Log-probabilities of choices after prompts that share a prefix, which is computed once.

Log-probabilities of a choice's tokens are added, without division by their number: the sum is the
probability that the model answers so, and a choice is not favored for being long or short. Where
one choice begins as another does ("mild", "mild to moderate"), that the answer ends there counts
for each of them.
"""

import copy
import inspect
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from roentgen.annotate.readers.token_paths import TokenPaths


class SharedPrefix:
    """Keys and values of the tokens that prompts begin with, in a causal model."""

    def __init__(self, model: Any, tokens: Sequence[int], ends: Sequence[int]) -> None:
        """`ends` are the tokens that end an answer."""
        self._model, self.length = model, len(tokens)
        self._ends = torch.tensor(ends, device=model.device)
        accepted = inspect.signature(model.forward).parameters
        self._last = {"logits_to_keep": 1} if "logits_to_keep" in accepted else {}
        self._cache_name = "cache" if "cache" in accepted else "past_key_values"  # before 5.24
        self._cache = DynamicCache(config=model.config)
        self._forward(self._cache, [list(tokens)], [0])

    def scores(self, paths: Sequence[TokenPaths], batch_size: int) -> list[Tensor]:
        """The log-probabilities of each question's choices, float64 on the CPU.

        `batch_size` prompts, or choices, are computed together.
        """
        results: list[Tensor] = [torch.empty(0)] * len(paths)
        for group in self._groups(paths, batch_size):
            chosen = [paths[i] for i in group]
            for i, scores in zip(group, self._together(chosen, batch_size), strict=True):
                results[i] = scores
        return results

    def _groups(self, paths: Sequence[TokenPaths], size: int) -> Iterable[list[int]]:
        """Indices of prompts of similar length; in windows of attention padding would count."""
        order = sorted(range(len(paths)), key=lambda i: len(paths[i].prompt))
        alike = any(self._cache.is_sliding)
        group: list[int] = []
        for i in order:
            differs = group and len(paths[group[0]].prompt) != len(paths[i].prompt)
            if len(group) == size or (alike and differs):
                yield group
                group = []
            group.append(i)
        if group:
            yield group

    def _together(self, paths: Sequence[TokenPaths], batch_size: int) -> list[Tensor]:
        """Scores of some questions: their prompts padded on the left, then their longer choices."""
        rows = [path.prompt[self.length :] for path in paths]
        width = max(map(len, rows))
        padding = [width - len(row) for row in rows]
        cache = _rows(self._cache, [0] * len(rows))
        logits = self._forward(
            cache, [[0] * n + row for n, row in zip(padding, rows, strict=True)], padding
        )[:, -1]
        first = logits.float().log_softmax(-1).double().cpu()
        scores = [first[i, [c[0] for c in path.choices]] for i, path in enumerate(paths)]
        longer = [
            (i, j, path.must_end)
            for i, path in enumerate(paths)
            for j, choice in enumerate(path.choices)
            if len(choice) > 1 or path.must_end
        ]
        for start in range(0, len(longer), batch_size):
            part = longer[start : start + batch_size]
            choices = [paths[i].choices[j] for i, j, _ in part]
            length = max(map(len, choices))
            logits = self._forward(
                _rows(cache, [i for i, _, _ in part]),
                [choice + [0] * (length - len(choice)) for choice in choices],
                [padding[i] for i, _, _ in part],
                all_logits=True,
            )
            steps = logits.float().log_softmax(-1)
            ended = steps[..., self._ends].logsumexp(-1).double().cpu()
            for row, (i, j, must_end) in enumerate(part):
                following = torch.tensor(choices[row][1:], dtype=torch.long, device=steps.device)
                known = steps[row, torch.arange(len(following)), following].double().sum().cpu()
                scores[i][j] += known + (ended[row, len(following)] if must_end else 0)
        return scores

    @torch.inference_mode()
    def _forward(
        self,
        cache: Any,
        ids: list[list[int]],
        padding: list[int],
        *,
        all_logits: bool = False,
    ) -> Tensor:
        """Logits of tokens on top of a cache, whose columns after the prefix begin with padding."""
        device = self._model.device
        before = cache.get_seq_length()
        tokens = torch.tensor(ids, device=device)
        columns = torch.arange(before + tokens.shape[1], device=device)
        padded = torch.tensor(padding, device=device)[:, None]
        is_padding = (columns >= self.length) & (columns < self.length + padded)
        positions = (columns - padded).clamp_min(0)[:, before:]
        result: Tensor = self._model(
            input_ids=tokens,
            attention_mask=(~is_padding).long(),
            position_ids=positions,
            use_cache=True,
            **{self._cache_name: cache},
            **({} if all_logits else self._last),
        ).logits
        return result


@torch.inference_mode()
def whole_scores(model: Any, path: TokenPaths, ends: Sequence[int]) -> Tensor:
    """The scores of one question from a forward pass for each choice, without a cache."""
    scores = []
    for choice in path.choices:
        ids = torch.tensor([[*path.prompt, *choice]], device=model.device)
        steps = model(input_ids=ids, use_cache=False).logits[0].float().log_softmax(-1).double()
        first = len(path.prompt) - 1
        known = steps[first:-1].gather(1, ids[0, first + 1 :, None]).sum()
        ended = steps[-1, list(ends)].logsumexp(0)
        scores.append(known + ended if path.must_end else known)
    return torch.stack(scores).cpu()


def _rows(cache: Any, indices: list[int]) -> Any:
    """A copy of some rows of a cache, each as often as it is named."""
    copied = copy.copy(cache)
    copied.layers = [copy.copy(layer) for layer in cache.layers]
    copied.batch_select_indices(torch.tensor(indices))
    return copied
