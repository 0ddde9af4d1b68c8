"""Where to call a finding present, and how good those calls are."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from roentgen.metrics.estimates import Floats, weighted_mean
from roentgen.record.findings import FindingName

NOT_DISEASES = ("No Finding", "Support Devices")
F1_DEFINITION = (
    "F1: the harmonic mean of precision and recall, a finding called present from the threshold on "
    "that has the best F1 on the validation part."
)


def best_threshold(scores: Floats, positive: NDArray[np.bool_]) -> float:
    """The score from which on calling present has the best F1; the highest such of equals.

    There must be a positive.
    """
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    right = np.cumsum(positive[order])
    f1 = 2 * right / (np.arange(1, len(scores) + 1) + positive.sum())
    last = np.append(ranked[1:] != ranked[:-1], True)  # ties are called together
    best = int(np.argmax(np.where(last, f1, -1.0)))
    return float(ranked[best])


def weighted_f1(
    called: NDArray[np.bool_], positive: NDArray[np.bool_], weights: NDArray[np.floating]
) -> Floats:
    """F1 (R,) of calls (N,) under each row of weights (R, N); NaN with nothing called or there."""
    right = 2 * (weights @ (called & positive))
    total = weights @ called.astype(float) + weights @ positive.astype(float)
    result: Floats = np.divide(right, total, out=np.full(len(weights), np.nan), where=total > 0)
    return result


def true_positive_rate(
    positives: Floats, negatives: Floats, false_positive_rate: float
) -> tuple[float, float]:
    """The share of positives above the threshold that this share of negatives exceeds, and it.

    Membership inference is judged at few false positives (Carlini et al. 2022).
    """
    allowed = math.floor(false_positive_rate * len(negatives))
    threshold = float(np.sort(negatives)[::-1][allowed])
    return float((positives > threshold).mean()), threshold


def weighted_share(
    those: NDArray[np.bool_], among: NDArray[np.bool_], weights: NDArray[np.floating]
) -> Floats:
    """The share (R,) of `among` (N,) that are `those`, under each row of weights (R, N)."""
    return weighted_mean(np.where(among, those, np.nan), weights)


def sick(labels: NDArray[np.float32], findings: Sequence[FindingName]) -> NDArray[np.bool_]:
    """(N,): a disease is present, or "No Finding" is said to be false."""
    result = np.zeros(len(labels), dtype=bool)
    for j, name in enumerate(findings):
        if name == "No Finding":
            result |= labels[:, j] == 0
        elif name not in NOT_DISEASES:
            result |= labels[:, j] == 1
    return result


def called_healthy(
    scores: Floats, thresholds: Sequence[float | None], findings: Sequence[FindingName]
) -> NDArray[np.bool_] | None:
    """(N,): "No Finding" is called where it can be, else no disease is; None if nothing can be.

    A finding whose threshold is None cannot be called.
    """
    callable_ = {
        name: (j, t)
        for j, (name, t) in enumerate(zip(findings, thresholds, strict=True))
        if t is not None
    }
    if "No Finding" in callable_:
        j, threshold = callable_["No Finding"]
        return np.asarray(scores[:, j] >= threshold)
    diseases = [place for name, place in callable_.items() if name not in NOT_DISEASES]
    if not diseases:
        return None
    return np.asarray(np.all([scores[:, j] < threshold for j, threshold in diseases], axis=0))
