"""Phantoms are drawn fast enough to be everybody's corpus."""

import time
from pathlib import Path

import pytest

from roentgen.corpora.phantom import PhantomConfig, PhantomReader
from roentgen.preparation.part_maker import PartMaker
from roentgen.preparation.part_record import PART_ITEMS, preparation_folder
from roentgen.preparation.postprocess import Postprocessing
from roentgen.preparation.workers import make_parts


@pytest.mark.slow
def test_fifteen_films_a_second_on_two_cores(tmp_path: Path) -> None:
    # As roentgen.prepare draws them: films, masks, PNG, shards and all.
    reader = PhantomReader(PhantomConfig(train=4 * PART_ITEMS, validate=0, test=0), 128, 0)
    work = preparation_folder(tmp_path / "out")
    maker = PartMaker(work=work, reader=reader, postprocess=Postprocessing())
    with work.lock():
        work.open({})
        started = time.perf_counter()
        parts = list(make_parts(maker, reader.plan()[0], frozenset(), workers=2))
        seconds = time.perf_counter() - started
    films = sum(shard.counts.rows for part in parts for shard in part.shards.values())
    print(f"{films / seconds:.1f} films/s")
    assert films > 4 * PART_ITEMS
    assert films / seconds >= 15
