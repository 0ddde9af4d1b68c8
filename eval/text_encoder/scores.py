"""Linear probes of findings in a text encoder's embeddings of reports."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from eval.finding_probes import METRICS, ProbeScores
from roentgen.diffusion.conditions.prompt_encoding import (
    encode_tokens,
    token_counts,
    token_limit,
    tokenize_prompts,
)
from roentgen.metrics.estimates import Estimate
from roentgen.metrics.paired_scores import (
    Measured,
    Score,
    difference,
    estimate,
)
from roentgen.record.finding import FindingName


def embed_texts(text_encoder: Any, tokenizer: Any, chunks: int, texts: Sequence[str]) -> Tensor:
    """[N, D] float32: the mean of the last hidden states over a text's tokens.

    The begin token, whose state is the same for all texts, and padding are excluded; text beyond
    the encoder's limit is truncated (see `count_truncated`).
    """
    ids = tokenize_prompts(tokenizer, texts, chunks=chunks, too_long="truncate")
    with torch.inference_mode():
        states = encode_tokens(text_encoder, ids.to(text_encoder.device), chunks=chunks).cpu()
    length = ids.shape[1] // chunks
    around = 2 * length - token_limit(tokenizer, 2)  # begin and end tokens of a chunk
    counts = torch.tensor(token_counts(tokenizer, texts))[:, None] - around  # of words
    room = length - around
    first = torch.arange(chunks)[None] * room
    words = (counts - first).clamp(min=0, max=room)  # N, chunks
    place = torch.arange(length)[None, None]
    used = (place < (words + around)[:, :, None]) & ((words > 0) | (first == 0))[:, :, None]
    begins = [x for x in (tokenizer.bos_token_id, tokenizer.cls_token_id) if x is not None]
    used = used.reshape(len(texts), -1) & ~torch.isin(ids, torch.tensor(begins, dtype=ids.dtype))
    weight = used.float()[:, :, None]
    return (states.float() * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)


def count_truncated(tokenizer: Any, chunks: int, texts: Sequence[str]) -> int:
    """The number of texts with more tokens than the encoder takes."""
    limit = token_limit(tokenizer, chunks)
    return sum(count > limit for count in token_counts(tokenizer, texts))


def compare(
    before: ProbeScores, after: ProbeScores, findings: Sequence[FindingName]
) -> dict[str, Any]:
    """Both scores, their difference and relative gain, by metric; intervals are paired."""
    result: dict[str, Any] = {}
    for metric in METRICS:
        one, two = before.findings[metric], after.findings[metric]
        rows = {name: _compared(one[name], two[name], None) for name in findings}
        (mean_one, note), (mean_two, _) = before.mean[metric], after.mean[metric]
        result[metric] = {"mean": _compared(mean_one, mean_two, note), **rows}
    return result


def _compared(before: Score, after: Score, note: str | None) -> Mapping[str, Estimate]:
    relative: Score = difference(after, before)
    if isinstance(before, Measured) and isinstance(after, Measured):
        relative = Measured(
            by_seed=after.by_seed / before.by_seed - 1,
            replicates=after.replicates / before.replicates - 1,
            n=before.n,
            patients=before.patients,
        )
    return {
        "before": estimate(before, note),
        "after": estimate(after, note),
        "difference": estimate(difference(after, before), note),
        "relative_gain": estimate(relative, note),
    }
