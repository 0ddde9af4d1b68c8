"""Shares met exactly, and lots drawn from a seed."""

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

_TRIES = 16


def apportion(shares: Sequence[float], total: int) -> NDArray[np.int64]:
    """Whole numbers that add up to `total`, in proportion to `shares`: the largest remainder.

    Each differs from its exact share by less than 1; of equal remainders the first wins.
    """
    weights = [Fraction(str(share)) for share in shares]  # as written: 0.1 is a tenth
    exact = [weight * total / sum(weights) for weight in weights]
    counts = np.array([math.floor(count) for count in exact], dtype=np.int64)
    order = sorted(range(len(exact)), key=lambda i: math.floor(exact[i]) - exact[i])
    counts[order[: total - counts.sum()]] += 1
    return counts


def shuffle(counts: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int32]:
    """(sum of counts,): each place in `counts` so many times, in random order."""
    return rng.permutation(np.repeat(np.arange(len(counts), dtype=np.int32), counts))


def draw_evenly(
    items: NDArray[np.int64], total: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """(total,): items by lot, none again before all are drawn."""
    rounds = [rng.permutation(items) for _ in range(-(-total // len(items)))]
    return np.concatenate(rounds)[:total] if rounds else items[:0]


def endless(items: NDArray[np.int64], rng: np.random.Generator) -> Iterator[int]:
    """Items by lot for ever, none again before all are drawn."""
    while True:
        yield from rng.permutation(items).tolist()


def draw_rarest_first(
    has: NDArray[np.bool_],
    combinations: NDArray[np.int32],
    counts: NDArray[np.int64],
    total: int | None,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """(total,): radiographs by lot, each from those that have the finding rarest so far.

    One with a finding that is more than 1 % (and 1) ahead of the rarest is passed over, or a common
    finding would come along with all others and never be as rare as they; where 16 in a row have
    such a finding, the one that is least ahead is taken. `has` is (combinations, findings),
    `combinations` (radiographs,) each one's row of it, `counts` (findings,) how often each was
    there before. Without `total`, until the rarest is as frequent as the most frequent was.
    """
    members = [np.flatnonzero(row).tolist() for row in has]
    held = [members[combination] for combination in combinations.tolist()]
    draws = [endless(np.flatnonzero(column[combinations]), rng) for column in has.T]
    now: list[int] = counts.tolist()
    goal = max(now)
    drawn: list[int] = []
    while min(now) < goal if total is None else len(drawn) < total:
        least = min(now)
        draw = draws[now.index(least)]
        best, lead = -1, math.inf
        for _ in range(_TRIES):
            radiograph = next(draw)
            ahead = max([now[finding] for finding in held[radiograph]])
            if ahead < lead:
                best, lead = radiograph, ahead
            if ahead <= least + 1 + least // 100:
                break
        for finding in held[best]:
            now[finding] += 1
        drawn.append(best)
    return np.array(drawn, dtype=np.int64)
