"""Number of threads that torch computes with on a CPU, chosen by a short measurement."""

import os
import time
from collections.abc import Callable, Sequence
from statistics import median

import torch
from torch.nn import functional

from roentgen.distributed import this_launch

VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")  # by which a user or a launcher chooses
_ROUNDS = 8
_SECONDS = 0.5  # after which no further round begins
_SIMILAR = 1.1  # times as long: not worth more threads
_CONVOLUTIONS = 8  # a measurement, of about 25 ms with one thread


def choose_threads(begun_with: int | None = None) -> int:
    """Set the number of torch's threads for the rest of the program, and return it.

    It is the fastest of all cores, half of them and one: beside a busy core that is one, as several
    threads wait for the slowest of them at the end of each operation. A resumed run takes the
    number that it was `begun_with`, on which the last bits of float32 sums depend. Where the
    environment sets it, on a machine with an accelerator, and in a launch of several processes it
    stays as it is.
    """
    most = torch.get_num_threads()
    given = any(os.environ.get(name) for name in VARIABLES)
    if given or torch.accelerator.is_available() or this_launch().num_processes > 1:
        return most
    chosen = begun_with or fastest(sorted({1, max(1, most // 2), most}), convolution_seconds)
    torch.set_num_threads(chosen)
    return chosen


def fastest(candidates: Sequence[int], seconds: Callable[[int], float]) -> int:
    """The number of threads with the least median seconds, or a smaller one hardly slower.

    `seconds` measures a number; rounds of all candidates follow each other after a first one to
    warm up, so that what disturbs the machine for a while disturbs all alike.
    """
    if len(candidates) == 1:
        return candidates[0]
    rounds: list[list[float]] = []
    while len(rounds) < 2 or (len(rounds) <= _ROUNDS and sum(map(sum, rounds)) < _SECONDS):
        rounds.append([seconds(number) for number in candidates])
    medians = [median(measured) for measured in zip(*rounds[1:], strict=True)]
    similar = [time <= _SIMILAR * min(medians) for time in medians]
    return min(number for number, good in zip(candidates, similar, strict=True) if good)


@torch.inference_mode()
def convolution_seconds(threads: int) -> float:
    """Seconds of convolutions of the size of the tiny base's with a number of threads."""
    torch.set_num_threads(threads)
    images, weights = torch.ones(8, 64, 16, 16), torch.ones(64, 64, 3, 3)
    started = time.perf_counter()
    for _ in range(_CONVOLUTIONS):
        functional.conv2d(images, weights, padding=1)
    return time.perf_counter() - started
