"""Damaged dataset folders: every change of a file is named with one line, by no other error."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from roentgen.dataset.dataset import open_dataset
from roentgen.errors import InputError

Mutants = Callable[..., Iterator[bytes]]
Fuzz = Callable[[Callable[[int], str], int], tuple[Counter[str], list[str]]]


def read_all(folder: Path) -> None:
    dataset = open_dataset(folder)
    for name in dataset.splits:
        split = dataset.split(name)
        split.images(range(len(split)))
        assert len(split[:]) == len(list(split.without_images())) == len(split)


@pytest.mark.parametrize("count", [60, pytest.param(10_000, marks=pytest.mark.slow)])
def test_every_damage_of_a_file_is_named(
    small_dataset: Path, mutants: Mutants, fuzz: Fuzz, count: int, tmp_path: Path
) -> None:
    folder = tmp_path / "dataset"
    shutil.copytree(small_dataset, folder)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    files = [path for path in files if path.name != "README.md"]  # which may be edited

    def read(seed: int) -> str:
        file = files[seed % len(files)]
        whole = file.read_bytes()
        changed = list(mutants(whole, 5, seed=seed))[seed // len(files) % 5]
        file.write_bytes(changed)
        try:
            read_all(folder)
        except InputError as error:
            assert "\n" not in str(error), error  # noqa: PT017
            return "refused"
        finally:
            file.write_bytes(whole)
        assert changed == whole, file
        return "read"

    outcomes, failures = fuzz(read, count)
    assert failures == []
    assert outcomes["refused"] > 0.9 * count
