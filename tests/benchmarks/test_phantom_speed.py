"""Phantoms are drawn fast enough to be everybody's corpus."""

import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

from roentgen.data.views import View
from roentgen.phantom.study import draw_study


def _films(seed: int) -> int:
    views: tuple[View, ...] = ("PA", "LATERAL") if seed % 2 else ("AP",)
    return len(draw_study(np.random.default_rng(seed), views, 128).films)


@pytest.mark.slow
def test_fifteen_films_a_second_on_two_cores() -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("forkserver")) as pool:
        list(pool.map(_films, range(4)))  # workers start
        started = time.perf_counter()
        films = sum(pool.map(_films, range(120)))
        rate = films / (time.perf_counter() - started)
    print(f"{rate:.1f} films/s")
    assert rate >= 15
