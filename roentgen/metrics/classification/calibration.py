"""Calibration of predicted probabilities.

The number equals torchmetrics'. It is computed here for its interval: one product for all
resamples, a seventh (n = 5,000) to a hundredth (n = 350) of torchmetrics' time. The floor and the
shares of each bin, which torchmetrics lacks, are of the same bins.
"""

import numpy as np
from numpy.typing import NDArray

from roentgen.metrics.estimates import Estimate, Floats, NotMeasured, proportion
from roentgen.metrics.finite import require_probabilities
from roentgen.randomness import numpy_generator

BINS = 10
CALIBRATION_METHODS = (
    f"Calibration: expected calibration error (ECE; Naeini et al. 2015) over {BINS} bins of equal "
    "width: the mean over images of |mean predicted probability - share present| of the image's "
    "bin; 0 is best. In a finite set even perfect probabilities have an ECE above 0: the floor is "
    "the mean ECE when presence is sampled with exactly the predicted probabilities."
)
_DRAWS = 20


def weighted_ece(
    predicted: Floats, positive: NDArray[np.bool_], weights: NDArray[np.floating]
) -> Floats:
    """ECE (R,) of probabilities (N,) under each row of weights (R, N)."""
    surplus = (predicted - positive)[:, None] * _membership(predicted)
    total = weights.sum(axis=1)
    sums: Floats = np.abs(weights @ surplus).sum(axis=1)
    result: Floats = np.divide(sums, total, out=np.full(len(weights), np.nan), where=total > 0)
    return result


def ece_floor(predicted: Floats, seed: int) -> float:
    """The mean ECE of these probabilities (N,) if they were exactly calibrated."""
    generator = numpy_generator(seed, "calibration")
    once = np.ones((1, len(predicted)))
    draws = [generator.random(len(predicted)) < predicted for _ in range(_DRAWS)]
    return float(np.mean([weighted_ece(predicted, draw, once)[0] for draw in draws]))


def reliability(
    predicted: Floats, positive: NDArray[np.bool_]
) -> tuple[list[float], list[Estimate]]:
    """Each bin's mean probability (its middle if empty) and share of positives."""
    where = _membership(predicted).astype(bool)
    means, shares = [], []
    for b in range(BINS):
        members = where[:, b]
        n = int(members.sum())
        means.append(float(predicted[members].mean()) if n else (b + 0.5) / BINS)
        shares.append(
            proportion(int(positive[members].sum()), n)
            if n
            else NotMeasured("no prediction in this bin")
        )
    return means, shares


def _membership(predicted: Floats) -> Floats:
    """(N, bins): 1 in a probability's bin, 0 elsewhere; 1.0 belongs to the last bin.

    Raises InputError for what is no probability.
    """
    require_probabilities(predicted)
    bins = np.minimum((predicted * BINS).astype(int), BINS - 1)
    result: Floats = np.eye(BINS)[bins]
    return result
