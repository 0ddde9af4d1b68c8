"""Linear probes of findings in a text encoder's embeddings of reports."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from roentgen.diffusion.conditions.prompt_encoding import (
    encode_tokens,
    token_counts,
    token_limit,
    tokenize_prompts,
)
from roentgen.metrics.classification.finding_scores import resamples, too_few
from roentgen.metrics.classification.operating_points import weighted_balanced_accuracy
from roentgen.metrics.classification.ranking import weighted_auroc
from roentgen.metrics.estimates import Estimate, Floats, NotMeasured, count_patients
from roentgen.metrics.paired_scores import (
    Measured,
    Score,
    difference,
    estimate,
    mean_of,
    over_seeds,
)
from roentgen.randomness import numpy_generator
from roentgen.record.finding import FindingName
from roentgen.vision.linear_probe import fit_logistic

STRENGTH = 0.01  # of the probes' penalty
METRICS = ("auroc", "balanced_accuracy")


@dataclass(frozen=True, kw_only=True)
class ProbeScores:
    """Scores of one encoder's probes for each finding, and their mean, by metric."""

    findings: dict[str, dict[FindingName, Score]]
    mean: dict[str, tuple[Score, str | None]]


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


def folds_of(patients: Sequence[str], folds: int, seed: int) -> NDArray[np.int64]:
    """(N,) the fold of each report; all of a patient are in one."""
    names, member = np.unique(np.asarray(patients), return_inverse=True)
    order = numpy_generator(seed, "text encoder folds").permutation(len(names))
    return np.asarray((order % folds)[member], dtype=np.int64)


def probe_findings(
    embeddings: NDArray[np.floating],
    labels: NDArray[np.float32],
    patients: Sequence[str],
    findings: Sequence[FindingName],
    *,
    folds: int,
    min_cases: int,
    samples: int,
    seed: int,
) -> ProbeScores:
    """Scores of probes of embeddings (N, D) on each fold, fitted on the other folds.

    AUROC is over pairs of reports of one fold; balanced accuracy is the mean of sensitivity and
    specificity, predicted positive where a probe's odds exceed the prevalence odds of its fit.
    """
    fold = folds_of(patients, folds, seed)
    weights = resamples(patients, samples, seed)
    scores: dict[str, dict[FindingName, Score]] = {metric: {} for metric in METRICS}
    for j, name in enumerate(findings):
        known = ~np.isnan(labels[:, j])
        of = np.asarray(patients)[known].tolist()
        missing = too_few(labels[:, j], patients, max(min_cases, folds), "probe by")
        positive, x, at = labels[known, j] == 1, embeddings[known], fold[known]
        if not missing and any(len(set(positive[at != k])) < 2 for k in range(folds)):
            missing = NotMeasured("all positives or negatives are in one fold")
        if missing:
            for metric in METRICS:
                scores[metric][name] = NotMeasured(missing.reason, len(of), count_patients(of))
            continue
        odds = np.empty(len(of))
        predicted = np.empty(len(of), dtype=bool)
        for k in range(folds):
            mine, others = at == k, at != k
            if mine.any():
                odds[mine] = fit_logistic(x[others], positive[others], STRENGTH)(x[mine])
                share = positive[others].mean()
                predicted[mine] = odds[mine] > np.log(share / (1 - share))
        w = weights[:, known]
        scores["auroc"][name] = over_seeds([_within_folds(odds, positive, at, w)], of)
        scores["balanced_accuracy"][name] = over_seeds(
            [weighted_balanced_accuracy(predicted, positive, w)], of
        )
    means = {metric: mean_of(list(each.values())) for metric, each in scores.items()}
    return ProbeScores(findings=scores, mean=means)


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


def _within_folds(
    odds: Floats, positive: NDArray[np.bool_], fold: NDArray[np.int64], weights: NDArray[Any]
) -> Floats:
    """AUROC over the pairs within folds: probes of different folds have no common scale."""
    right, pairs = np.zeros(len(weights)), np.zeros(len(weights))
    for k in np.unique(fold):
        mine = fold == k
        w, p = weights[:, mine].astype(np.float64), positive[mine]
        count = (w * p).sum(axis=1) * (w * ~p).sum(axis=1)
        area = weighted_auroc(odds[mine], p, w)
        right += np.where(count > 0, np.nan_to_num(area) * count, 0)
        pairs += count
    return np.asarray(np.divide(right, pairs, out=np.full(len(weights), np.nan), where=pairs > 0))
