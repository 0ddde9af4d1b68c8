"""Prompt encoding: token ids and text encoder states of prompts, for training and sampling alike.

A prompt is given one chunk of the text encoder's limit, or several: its words are then cut where a
chunk is full, each chunk has its own begin and end tokens and is encoded by itself, and the states
follow one another. Every prompt has the same number of chunks, the empty one too, so that its
states do not depend on the prompts it is encoded together with.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from roentgen.diffusion.components import Components
from roentgen.errors import InputError
from roentgen.prompts.token_lengths import TooLong

_WORDS = 100_000  # whose token counts are remembered: most prompts are made of few words


def token_counts(tokenizer: Any, prompts: Sequence[str]) -> list[int]:
    """The number of tokens of each prompt, one begin and end token among them."""
    if not prompts:
        return []
    return [len(ids) for ids in tokenizer(list(prompts), verbose=False).input_ids]


def token_limit(tokenizer: Any, chunks: int = 1) -> int:
    """The most tokens a prompt may have, counted as `token_counts` does."""
    length = int(tokenizer.model_max_length)
    if chunks == 1:
        return length
    begin, end = _frame(tokenizer)
    around = len(begin) + len(end)
    return chunks * (length - around) + around


class PromptLimit:
    """The most tokens that a text encoder takes of a prompt, and the check against it."""

    def __init__(self, tokenizer: Any, chunks: int = 1) -> None:
        self.tokens = token_limit(tokenizer, chunks)
        self._tokenizer = tokenizer
        (self._frame,) = token_counts(tokenizer, [""])
        self._word_tokens = lru_cache(_WORDS)(self._count_word)

    def is_exceeded(self, prompt: str) -> bool:
        """Whether a prompt is too long; fast for many prompts made of few words."""
        if len(prompt.encode()) + 3 <= self.tokens:  # a token is a byte at least
            return False
        words = sum(map(self._word_tokens, prompt.split()))  # an upper bound
        return words + self._frame > self.tokens and self.count(prompt) > self.tokens

    def count(self, prompt: str) -> int:
        """The number of tokens of a prompt."""
        (count,) = token_counts(self._tokenizer, [prompt])
        return count

    def check(self, counts: Sequence[int], name: Callable[[int], str], remedy: str) -> None:
        """Raise InputError naming the first of some prompts, of so many tokens, that is too long.

        Its words are not in the message: they may be patients'.
        """
        beyond = [number for number, count in enumerate(counts) if count > self.tokens]
        if not beyond:
            return
        first = beyond[0]
        others = f" ({len(beyond)} of {len(counts)} prompts are too long)" if counts[1:] else ""
        raise InputError(
            f"the prompt of {name(first)} has {counts[first]} tokens and the text encoder takes "
            f"{self.tokens}{others}: {remedy}"
        )

    def _count_word(self, word: str) -> int:
        return self.count(word) - self._frame


def tokenize_prompts(
    tokenizer: Any, prompts: Sequence[str], *, chunks: int = 1, too_long: TooLong = "refuse"
) -> Tensor:
    """Token ids, int64 [N, chunks * model_max_length], padded as the tokenizer does.

    Prompts that do not fit are cut if `too_long` is "truncate"; else they raise InputError.
    """
    limit = PromptLimit(tokenizer, chunks)
    if too_long == "refuse":
        counts = token_counts(tokenizer, prompts)
        limit.check(counts, lambda i: f"number {i + 1}", "shorten it, or let it be truncated")
    if chunks > 1:
        return _chunked_ids(tokenizer, prompts, chunks)
    encoded = tokenizer(
        list(prompts),
        padding="max_length",
        truncation=True,
        max_length=limit.tokens,
        return_tensors="pt",
    )
    ids: Tensor = encoded.input_ids
    return ids


def _chunked_ids(tokenizer: Any, prompts: Sequence[str], chunks: int) -> Tensor:
    """Token ids of prompts in several chunks; tokens beyond the last are cut."""
    begin, end = _frame(tokenizer)
    length = tokenizer.model_max_length
    room = length - len(begin) - len(end)
    rows = []
    for words in tokenizer(list(prompts), add_special_tokens=False, verbose=False).input_ids:
        for first in range(0, chunks * room, room):
            chunk = [*begin, *words[first : first + room], *end]
            rows.append(chunk + [tokenizer.pad_token_id] * (length - len(chunk)))
    return torch.tensor(rows).reshape(len(prompts), chunks * length)


def _frame(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The tokens before and after a prompt's own."""
    words = tokenizer("a", add_special_tokens=False).input_ids
    framed = tokenizer("a").input_ids
    first = next(i for i in range(len(framed)) if framed[i : i + len(words)] == words)
    return framed[:first], framed[first + len(words) :]


def encode_tokens(text_encoder: Any, ids: Tensor, *, chunks: int = 1) -> Tensor:
    """The text encoder's last hidden states [N, chunks * L, D] of token ids [N, chunks * L].

    CLIP attends to padding too, as Stable Diffusion was trained. An encoder whose configuration
    has `use_attention_mask` does not: diffusers reads the same entry.
    """
    items, length = ids.shape
    ids = ids.reshape(items * chunks, length // chunks)
    mask = None
    if getattr(text_encoder.config, "use_attention_mask", False):
        mask = _mask(ids != text_encoder.config.pad_token_id, text_encoder.dtype)
    states: Tensor = text_encoder(ids, attention_mask=mask)[0]
    return states.reshape(items, length, -1)


def _mask(attended: Tensor, dtype: torch.dtype) -> Tensor:
    """What is added to attention's scores, [N, 1, 1, L], of which tokens are attended to [N, L].

    Given those themselves, transformers would check whether they are all, and wait for the device.
    """
    nothing = torch.zeros(attended.shape, dtype=dtype, device=attended.device)
    return nothing.masked_fill(~attended, torch.finfo(dtype).min)[:, None, None]


def encode_prompts(
    components: Components, prompts: Sequence[str], *, too_long: TooLong = "refuse"
) -> Tensor:
    """Text encoder states of prompts [N, L, D], on its device, before any projection.

    Raises InputError as `tokenize_prompts` does.
    """
    chunks, text_encoder = components.prompt_chunks, components.text_encoder
    ids = tokenize_prompts(components.tokenizer, prompts, chunks=chunks, too_long=too_long)
    return encode_tokens(text_encoder, ids.to(text_encoder.device), chunks=chunks)
