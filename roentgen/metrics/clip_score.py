"""Agreement of images and prompts: cosines of their embeddings, and retrieval.

torchmetrics' CLIP score embeds with a model of transformers; ours takes the embeddings of any, and
has an interval and a floor.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from roentgen.metrics.estimates import (
    Estimate,
    Floats,
    NotMeasured,
    count_patients,
    percentile_interval,
    proportion,
)
from roentgen.metrics.finite import require_finite
from roentgen.randomness import numpy_generator

RECALLS = (1, 5, 10)


def clip_scores(
    images: NDArray[np.floating],
    texts: NDArray[np.floating],
    prompts: Sequence[str],
    patients: Sequence[str],
    weights: NDArray[np.integer],
    *,
    name: str,
    seed: int,
) -> dict[str, Estimate]:
    """Mean cosine of each image (N, d) with its prompt (N, d), and its floor.

    Vectors have length 1; weights (1 + R, N) are ones and then resamples. The floor is the cosine
    with another image's prompt, sampled among prompts of a different wording; "gain" is the paired
    difference. Raises InputError for a vector that is not finite.
    """
    _check(images, texts)
    n = len(prompts)
    if len(set(prompts)) < 2:
        one = NotMeasured("all prompts are the same", n, count_patients(patients))
        return {"score": one, "floor": one, "gain": one}
    other = shuffled(prompts, seed, name)
    own = np.einsum("nd,nd->n", images, texts, dtype=np.float64)
    wrong = np.einsum("nd,nd->n", images, texts[other], dtype=np.float64)
    values = {"score": own, "floor": wrong, "gain": own - wrong}
    return {key: _mean(value, patients, weights) for key, value in values.items()}


def shuffled(prompts: Sequence[str], seed: int, name: str) -> NDArray[np.int64]:
    """(N,): for each the row of a prompt of another wording; there must be two."""
    draws = numpy_generator(seed, "clip floor", name)
    _, worded = np.unique(np.asarray(prompts), return_inverse=True)
    result = np.arange(len(prompts))
    same = np.ones(len(prompts), dtype=bool)
    while same.any():
        result[same] = draws.integers(len(prompts), size=int(same.sum()))
        same = worded[result] == worded
    return result


def distinct(prompts: Sequence[str], seed: int, name: str) -> NDArray[np.int64]:
    """One row of each wording, in random order."""
    order = numpy_generator(seed, "clip pool", name).permutation(len(prompts))
    seen: dict[str, int] = {}
    for row in order.tolist():
        seen.setdefault(prompts[row], row)
    return np.array(list(seen.values()), dtype=np.int64)


def recalls(images: NDArray[np.floating], texts: NDArray[np.floating]) -> dict[str, Estimate]:
    """Recall@1, 5, 10: the share of images (M, d) whose own prompt is among the k nearest of all M.

    Ties count against the own prompt. Raises InputError for a vector that is not finite.
    """
    _check(images, texts)
    cosine = images.astype(np.float64) @ texts.astype(np.float64).T
    own = np.diag(cosine)[:, None]
    rank = (cosine >= own).sum(axis=1)  # includes the own one: 1 is best
    return {f"recall@{k}": proportion(int((rank <= k).sum()), len(cosine)) for k in RECALLS}


def _check(images: NDArray[np.floating], texts: NDArray[np.floating]) -> None:
    require_finite(images, "embeddings of images")
    require_finite(texts, "embeddings of prompts")


def _mean(values: Floats, patients: Sequence[str], weights: NDArray[np.integer]) -> Estimate:
    means = (weights @ values) / weights.sum(axis=1)
    low, high = percentile_interval(means[1:])
    return Estimate(
        value=float(means[0]), low=low, high=high, n=len(values), patients=count_patients(patients)
    )
