"""Image sets: what an item is stays the same through selections, unions and splits."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from roentgen.corpora.phantom import PhantomConfig
from roentgen.dataset.dataset import open_dataset
from roentgen.dataset.image_set import ImageSet, join
from roentgen.dataset.structure_masks import UNKNOWN
from roentgen.errors import InputError
from roentgen.imaging.images import decode
from roentgen.preparation.config import PrepareConfig
from roentgen.prepare import prepare
from roentgen.record.radiograph import Radiograph

Make = Callable[..., Path]


@pytest.fixture(scope="module")
def every(small_dataset: Path) -> ImageSet:
    dataset = open_dataset(small_dataset)
    return ImageSet.of(*map(dataset.split, dataset.splits))


def described(record: Radiograph) -> tuple[object, ...]:
    return record.id, record.patient_id, record.view, record.findings


def test_all_of_an_item_goes_together(every: ImageSet) -> None:
    """Records, ids, patients, labels, views and pixels of any selection are of the same item."""
    whole = [split[row] for split in every.splits for row in range(len(split))]
    draws = np.random.default_rng(0)
    first = draws.permutation(len(every))[:15]
    nested = draws.permutation(15)[:9]
    parts = {
        "whole": (every, np.arange(len(every))),
        "selection": (every.take(first), first),
        "nested": (every.take(first).take(nested), first[nested]),
        "repeated": (every.take(np.array([3, 20, 3])), np.array([3, 20, 3])),
        "union": (join([every.take(first), every.take(nested)]), np.concatenate([first, nested])),
    }
    for name, (images, items) in parts.items():
        records = [whole[item] for item in items]
        assert len(images) == len(images.images) == len(records), name
        assert images.ids == [r.id for r in records]
        assert images.patients == [r.patient_id for r in records]
        assert [described(r) for r in images.without_images()] == [described(r) for r in records]
        assert [described(r) for r in images.radiographs] == [described(r) for r in records]
        assert all(r.image == b"" and r.masks == {} for r in images.radiographs)
        assert images[len(records) - 1] == records[-1]
        pixels = np.stack([decode(r.image) for r in records])
        assert (images.images[:] == pixels).all()
        assert (images.images[::-2] == pixels[::-2]).all()
        assert (images.images[np.array([2, 0])] == pixels[[2, 0]]).all()
        np.testing.assert_array_equal(images.labels, every.labels[items])
        np.testing.assert_array_equal(images.views, every.views[items])
        split, row = images.place(1)
        assert split[row] == records[1]


def test_what_was_read_before_a_selection_is_what_it_would_read(every: ImageSet) -> None:
    fresh = ImageSet.of(*every.splits).labeled(("Pleural Effusion", "Edema"), "absent")
    rows = np.array([5, 1, 17])
    unread = fresh.take(rows)
    assert fresh.labels.shape == (len(every), 2)
    assert fresh.views.shape == (len(every),)
    assert fresh.radiographs
    read = fresh.take(rows)
    np.testing.assert_array_equal(unread.labels, read.labels)
    np.testing.assert_array_equal(unread.views, read.views)
    assert unread.radiographs == read.radiographs


def test_the_key_is_of_the_content_in_its_order(
    every: ImageSet, make_small_dataset: Make, tmp_path: Path
) -> None:
    rows = np.array([4, 2, 0])
    same = every.take(np.arange(8)).take(rows)
    assert every.take(rows).key == same.key
    assert every.take(rows[::-1]).key != same.key
    assert every.take(rows[:2]).key != same.key
    (train, *_) = every.splits
    assert ImageSet.of(train).take(rows).key == same.key  # whatever else the dataset holds
    other = open_dataset(make_small_dataset(tmp_path / "other", size=64)).split(train.name)
    assert ImageSet.of(other).take(rows).ids == same.ids
    assert ImageSet.of(other).take(rows).key != same.key
    assert join([same, ImageSet.of(other).take(rows)]).key != join([same, same]).key


def test_an_empty_selection_has_images_of_its_size(every: ImageSet) -> None:
    none = every.take(np.array([], int))
    assert none.images[:].shape == (0, every.size, every.size)
    assert none.radiographs == ()
    assert none.ids == none.patients == []
    assert none.labels.shape == (0, len(none.findings))


def test_images_of_other_sizes_are_named(
    every: ImageSet, make_small_dataset: Make, tmp_path: Path
) -> None:
    other = open_dataset(make_small_dataset(tmp_path / "other", size=64)).split("train")
    with pytest.raises(InputError, match=r"split 'train' of .*other has images of 64 pixels a sid"):
        _ = ImageSet.of(every.splits[0], other).size


def test_masks_are_of_the_items_asked_for(tmp_path: Path) -> None:
    config = PhantomConfig(train=4, validate=0, test=0)
    prepare(PrepareConfig(phantom=config, size=32, output=tmp_path / "phantoms", workers=1))
    split = open_dataset(tmp_path / "phantoms").split("train")
    images = ImageSet.of(split).take(np.array([3, 1]))
    masks = images.masks(("lungs", "nothing"))
    assert len(masks) == 2
    found = masks[np.array([1, 0])]
    for mask, record in zip(found, (split[1], split[3]), strict=True):
        assert (mask[0] == (decode(record.masks["lungs"]) == 255)).all()
        assert (mask[1] == UNKNOWN).all()


def test_it_goes_to_other_processes(every: ImageSet) -> None:
    images = every.take(np.array([2, 9]))
    assert images.labels.size
    again: ImageSet = pickle.loads(pickle.dumps(images))  # noqa: S301 (as workers do)
    assert again.key == images.key
    assert again[1] == images[1]
