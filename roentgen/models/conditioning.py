"""From prompts to what the UNet is conditioned on; the one code for training and sampling."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from roentgen.errors import InputError

if TYPE_CHECKING:
    from transformers import CLIPTextModel, CLIPTokenizer

TooLong = Literal["refuse", "truncate"]


def token_counts(tokenizer: "CLIPTokenizer", prompts: Sequence[str]) -> list[int]:
    """The number of tokens of each prompt, begin and end tokens among them."""
    if not prompts:
        return []
    return [len(ids) for ids in tokenizer(list(prompts), verbose=False).input_ids]


def tokenize_prompts(
    tokenizer: "CLIPTokenizer", prompts: Sequence[str], *, too_long: TooLong = "refuse"
) -> Tensor:
    """Token ids, int64 [N, model_max_length], padded as the tokenizer does.

    Prompts that do not fit are cut only when `too_long` says "truncate"; else InputError says how
    many there are and where, but not their words: they may be patients'.
    """
    limit = tokenizer.model_max_length
    counts = token_counts(tokenizer, prompts)
    beyond = [i for i, count in enumerate(counts) if count > limit]
    if beyond and too_long == "refuse":
        worst = max(beyond, key=lambda i: counts[i])
        raise InputError(
            f"{len(beyond)} of {len(counts)} prompts are longer than the text encoder's {limit} "
            f"tokens (the longest, number {worst + 1}, has {counts[worst]}): shorten them or ask "
            "for them to be truncated"
        )
    encoded = tokenizer(
        list(prompts),
        padding="max_length",
        truncation=True,
        max_length=limit,
        return_tensors="pt",
    )
    ids: Tensor = encoded.input_ids
    return ids


def encode_tokens(text_encoder: "CLIPTextModel", ids: Tensor) -> Tensor:
    """The text encoder's last hidden states [N, L, D] of token ids [N, L].

    Without an attention mask, as Stable Diffusion was trained: it attends to padding too.
    """
    states: Tensor = text_encoder(ids)[0]
    return states


def encode_prompts(
    tokenizer: "CLIPTokenizer",
    text_encoder: "CLIPTextModel",
    prompts: Sequence[str],
    *,
    too_long: TooLong = "refuse",
) -> Tensor:
    """Prompt embeddings [N, L, D] on the text encoder's device. Raises InputError, see above."""
    ids = tokenize_prompts(tokenizer, prompts, too_long=too_long)
    return encode_tokens(text_encoder, ids.to(text_encoder.device))
