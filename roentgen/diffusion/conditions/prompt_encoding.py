"""From prompts to what the UNet is conditioned on; the one code for training and sampling.

A prompt is given one window of the text encoder's limit, or several: its words are then cut where
a window is full, each window has its own begin and end tokens and is encoded by itself, and the
states follow one another. Every prompt has the same number of windows, the empty one too, so that
its states do not depend on what it is encoded together with.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from roentgen.diffusion.components import Components
from roentgen.errors import InputError

TooLong = Literal["refuse", "truncate"]


def token_counts(tokenizer: Any, prompts: Sequence[str]) -> list[int]:
    """The number of tokens of each prompt, one begin and end token among them."""
    if not prompts:
        return []
    return [len(ids) for ids in tokenizer(list(prompts), verbose=False).input_ids]


def token_limit(tokenizer: Any, windows: int = 1) -> int:
    """The most tokens a prompt may have, counted as `token_counts` does."""
    length = int(tokenizer.model_max_length)
    if windows == 1:
        return length
    begin, end = _frame(tokenizer)
    around = len(begin) + len(end)
    return windows * (length - around) + around


def tokenize_prompts(
    tokenizer: Any, prompts: Sequence[str], *, windows: int = 1, too_long: TooLong = "refuse"
) -> Tensor:
    """Token ids, int64 [N, windows * model_max_length], padded as the tokenizer does.

    Prompts that do not fit are cut only when `too_long` says "truncate"; else InputError says how
    many there are and where, but not their words: they may be patients'.
    """
    limit = token_limit(tokenizer, windows)
    if too_long == "refuse":
        counts = token_counts(tokenizer, prompts)
        beyond = [i for i, count in enumerate(counts) if count > limit]
        if beyond:
            worst = max(beyond, key=lambda i: counts[i])
            raise InputError(
                f"{len(beyond)} of {len(counts)} prompts are longer than the text encoder's "
                f"{limit} tokens (the longest, number {worst + 1}, has {counts[worst]}): shorten "
                "them or ask for them to be truncated"
            )
    if windows > 1:
        return _windows(tokenizer, prompts, windows)
    encoded = tokenizer(
        list(prompts),
        padding="max_length",
        truncation=True,
        max_length=limit,
        return_tensors="pt",
    )
    ids: Tensor = encoded.input_ids
    return ids


def _windows(tokenizer: Any, prompts: Sequence[str], windows: int) -> Tensor:
    """Token ids of prompts in several windows; what goes beyond the last is cut."""
    begin, end = _frame(tokenizer)
    length = tokenizer.model_max_length
    room = length - len(begin) - len(end)
    rows = []
    for words in tokenizer(list(prompts), add_special_tokens=False, verbose=False).input_ids:
        for first in range(0, windows * room, room):
            window = [*begin, *words[first : first + room], *end]
            rows.append(window + [tokenizer.pad_token_id] * (length - len(window)))
    return torch.tensor(rows).reshape(len(prompts), windows * length)


def _frame(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The tokens that stand before and after a prompt's own."""
    words = tokenizer("a", add_special_tokens=False).input_ids
    whole = tokenizer("a").input_ids
    first = next(i for i in range(len(whole)) if whole[i : i + len(words)] == words)
    return whole[:first], whole[first + len(words) :]


def encode_tokens(text_encoder: Any, ids: Tensor, *, windows: int = 1) -> Tensor:
    """The text encoder's last hidden states [N, windows * L, D] of token ids [N, windows * L].

    CLIP attends to padding too, as Stable Diffusion was trained. An encoder whose configuration
    says `use_attention_mask` does not: diffusers goes by the same entry.
    """
    items, length = ids.shape
    ids = ids.reshape(items * windows, length // windows)
    mask = None
    if getattr(text_encoder.config, "use_attention_mask", False):
        mask = _mask(ids != text_encoder.config.pad_token_id, text_encoder.dtype)
    states: Tensor = text_encoder(ids, attention_mask=mask)[0]
    return states.reshape(items, length, -1)


def _mask(attended: Tensor, dtype: torch.dtype) -> Tensor:
    """What is added to attention's scores, [N, 1, 1, L], of which tokens are attended to [N, L].

    Given those themselves, transformers would look whether they are all, and wait for the device.
    """
    nothing = torch.zeros(attended.shape, dtype=dtype, device=attended.device)
    return nothing.masked_fill(~attended, torch.finfo(dtype).min)[:, None, None]


def encode_prompts(
    components: Components, prompts: Sequence[str], *, too_long: TooLong = "refuse"
) -> Tensor:
    """Prompt embeddings [N, L, D] on the text encoder's device. Raises InputError, see above.

    D is the width that the UNet takes.
    """
    windows, text_encoder = components.prompt_chunks, components.text_encoder
    ids = tokenize_prompts(components.tokenizer, prompts, windows=windows, too_long=too_long)
    states = encode_tokens(text_encoder, ids.to(text_encoder.device), windows=windows)
    return states if components.projection is None else components.projection(states)
