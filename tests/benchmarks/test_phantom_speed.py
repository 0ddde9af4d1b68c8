"""Phantoms are drawn fast enough to be everybody's corpus."""

import time

import pytest

from roentgen.corpora.phantom import PhantomConfig, PhantomReader
from roentgen.corpora.work import outcomes


@pytest.mark.slow
def test_fifteen_films_a_second_on_two_cores() -> None:
    # As roentgen.prepare draws them: films, masks, PNG and all.
    reader = PhantomReader(PhantomConfig(train=160, validate=0, test=0), 128, 0)
    drawn = outcomes(reader, reader.plan()[0], workers=2)
    for _ in range(8):  # the workers start
        next(drawn)
    started = time.perf_counter()
    films = sum(len(outcome.radiographs) for outcome in drawn)
    rate = films / (time.perf_counter() - started)
    print(f"{rate:.1f} films/s")
    assert films > 200
    assert rate >= 15
