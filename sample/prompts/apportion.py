"""Apportionment: counts in exact proportion to shares, and random draws without early repeats."""

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

_TRIES = 16


def apportion(shares: Sequence[float], total: int) -> NDArray[np.int64]:
    """Integers that add up to `total` in proportion to `shares`, by the largest remainder.

    Each differs from its exact share by less than 1; of equal remainders the first wins.
    """
    weights = [Fraction(str(share)) for share in shares]  # as written: 0.1 is a tenth
    exact = [weight * total / sum(weights) for weight in weights]
    counts = np.array([math.floor(count) for count in exact], dtype=np.int64)
    order = sorted(range(len(exact)), key=lambda i: math.floor(exact[i]) - exact[i])
    counts[order[: total - counts.sum()]] += 1
    return counts


def shuffle(counts: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int32]:
    """(sum of counts,): each index of `counts`, as often as it says, in random order."""
    return rng.permutation(np.repeat(np.arange(len(counts), dtype=np.int32), counts))


def draw_evenly(
    items: NDArray[np.int64], total: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """(total,): random items, none repeated before all are drawn."""
    rounds = [rng.permutation(items) for _ in range(-(-total // len(items)))]
    return np.concatenate(rounds)[:total] if rounds else items[:0]


def draw_rarest_first(
    has: NDArray[np.bool_],
    combinations: NDArray[np.int32],
    counts: NDArray[np.int64],
    total: int | None,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """(total,): random radiographs, each from those that have the finding rarest so far.

    A radiograph with a finding that is more than 1 % (and 1) ahead of the rarest is skipped, or a
    common finding would accompany all others and always be more frequent; where 16 in a row have
    such a finding, the one that is least ahead is taken. `has` is (combinations, findings),
    `combinations` (radiographs,) the row of each in it, `counts` (findings,) how often each finding
    occurs already. Without `total`, until the rarest is as frequent as the most frequent was.
    """

    def repeated(items: NDArray[np.int64]) -> Iterator[int]:
        while True:
            yield from rng.permutation(items).tolist()

    members = [np.flatnonzero(row).tolist() for row in has]
    findings_of = [members[combination] for combination in combinations.tolist()]
    draws = [repeated(np.flatnonzero(column[combinations])) for column in has.T]
    current: list[int] = counts.tolist()
    goal = max(current)
    drawn: list[int] = []
    while min(current) < goal if total is None else len(drawn) < total:
        least = min(current)
        draw = draws[current.index(least)]
        best, lead = -1, math.inf
        for _ in range(_TRIES):
            radiograph = next(draw)
            ahead = max([current[finding] for finding in findings_of[radiograph]])
            if ahead < lead:
                best, lead = radiograph, ahead
            if ahead <= least + 1 + least // 100:
                break
        for finding in findings_of[best]:
            current[finding] += 1
        drawn.append(best)
    return np.array(drawn, dtype=np.int64)
