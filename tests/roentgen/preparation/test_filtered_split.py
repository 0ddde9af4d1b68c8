"""What a filter keeps of a dataset, and the run that trains on it."""

import csv
from pathlib import Path

import pytest

from roentgen.corpora.phantom import PhantomConfig
from roentgen.dataset.dataset import RadiographSplit, open_dataset
from roentgen.errors import InputError
from roentgen.preparation.config import PrepareConfig
from roentgen.preparation.filtered_split import (
    FilteredSplit,
    excluded_summary,
    filter_split,
    write_excluded,
)
from roentgen.prepare import prepare
from roentgen.prompts.filters import RadiographFilter
from roentgen.record.finding import states
from train.loading.mask_cache import MaskCondition


def count(text: str) -> int:
    return len(text.split()) + 2


def test_a_filter_parts_a_split_and_lists_what_it_leaves_out(
    small_dataset: Path, tmp_path: Path
) -> None:
    split = open_dataset(small_dataset).split("train")
    whole = filter_split(split, None, count, ())
    assert [r.id for r in whole.without_images()] == [r.id for r in split.without_images()]
    assert excluded_summary(whole) is None
    view = split[0].view
    assert view is not None
    kept = filter_split(split, RadiographFilter(views=(view,)), count, ())
    expected = [r.id for r in split.without_images() if r.view == view]
    assert [r.id for r in kept.without_images()] == expected
    assert [kept[i].id for i in range(len(kept))] == expected
    assert (kept.images[:1][0] == split.images([kept.rows[0]])[0]).all()
    assert len(kept) + len(kept.excluded) == len(split)
    write_excluded(tmp_path / "excluded.csv", kept.excluded)
    rows = list(csv.DictReader((tmp_path / "excluded.csv").read_text().splitlines()))
    assert {row["id"] for row in rows} == {r.id for r in split.without_images()} - set(expected)
    told = excluded_summary(kept) or ""
    assert bool(kept.excluded) == (f"{len(kept.excluded)} excluded" in told)


def test_a_filter_that_leaves_nothing_is_named(small_dataset: Path) -> None:
    split = open_dataset(small_dataset).split("train")
    with pytest.raises(InputError, match=r"data.filter leaves nothing of split 'train'"):
        filter_split(
            split, RadiographFilter(section="last_paragraph", min_characters=10_000), count, ()
        )


def masks_of(*structures: str) -> tuple[MaskCondition]:
    return (MaskCondition(structures=structures),)


def with_masks_of(split: RadiographSplit, conditions: tuple[MaskCondition, ...]) -> FilteredSplit:
    return filter_split(split, None, count, (), [c.exclusion(split) for c in conditions])


def test_of_what_no_structure_is_known_a_controlnet_does_not_learn(tmp_path: Path) -> None:
    config = PhantomConfig(train=40, validate=0, test=0)
    prepare(PrepareConfig(phantom=config, size=32, output=tmp_path / "phantoms", workers=1))
    split = open_dataset(tmp_path / "phantoms").split("train")
    both = masks_of("lungs", "pneumothorax")
    assert len(with_masks_of(split, both)) == len(split)
    kept = with_masks_of(split, masks_of("pneumothorax"))
    expected = [
        r.id
        for r in split
        if "pneumothorax" in r.masks or states(r.findings).get("Pneumothorax") == "absent"
    ]
    assert [r.id for r in kept.without_images()] == expected
    assert {item.reason for item in kept.excluded} == {"no mask of pneumothorax"}
    assert len(kept) + len(kept.excluded) == len(split)
    with pytest.raises(InputError, match=r"nothing can be used of split 'train'"):
        with_masks_of(split, masks_of("liver"))
