"""Whether probabilities mean what they say."""

import numpy as np
from numpy.typing import NDArray

from roentgen.metrics.estimates import Estimate, Floats, NotMeasured, proportion
from roentgen.randomness import numpy_generator

BINS = 10
DEFINITION = (
    f"Calibration: expected calibration error (ECE; Naeini et al. 2015) over {BINS} bins of equal "
    "width: the mean over images of |mean probability said - share present| of the image's bin; 0 "
    "is best. Even perfect probabilities have one above 0 in a finite set: that is the floor, the "
    "mean ECE where presence is drawn with the very probabilities said."
)
_DRAWS = 20


def weighted_ece(
    said: Floats, positive: NDArray[np.bool_], weights: NDArray[np.floating]
) -> Floats:
    """ECE (R,) of probabilities (N,) under each row of weights (R, N)."""
    surplus = (said - positive)[:, None] * _membership(said)
    total = weights.sum(axis=1)
    sums: Floats = np.abs(weights @ surplus).sum(axis=1)
    result: Floats = np.divide(sums, total, out=np.full(len(weights), np.nan), where=total > 0)
    return result


def ece_floor(said: Floats, seed: int) -> float:
    """The mean ECE of these probabilities (N,) if they were exactly right."""
    generator = numpy_generator(seed, "calibration")
    once = np.ones((1, len(said)))
    draws = [generator.random(len(said)) < said for _ in range(_DRAWS)]
    return float(np.mean([weighted_ece(said, draw, once)[0] for draw in draws]))


def reliability(said: Floats, positive: NDArray[np.bool_]) -> tuple[list[float], list[Estimate]]:
    """Each bin's mean probability (its middle if it is empty) and the share present in it."""
    where = _membership(said).astype(bool)
    means, shares = [], []
    for b in range(BINS):
        members = where[:, b]
        n = int(members.sum())
        means.append(float(said[members].mean()) if n else (b + 0.5) / BINS)
        shares.append(
            proportion(int(positive[members].sum()), n) if n else NotMeasured("none said so")
        )
    return means, shares


def _membership(said: Floats) -> Floats:
    """(N, bins): 1 where a probability falls, 0 elsewhere; 1.0 falls into the last bin."""
    bins = np.minimum((said * BINS).astype(int), BINS - 1)
    result: Floats = np.eye(BINS)[bins]
    return result
