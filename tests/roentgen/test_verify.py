"""Damage of ten kinds to finished folders: named when they are used, and by roentgen.verify."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from roentgen.cache import CacheContents, open_cache
from roentgen.dataset.dataset import open_dataset
from roentgen.diffusion.backbones.stable_diffusion import load_components, save_model
from roentgen.distributed import SINGLE_PROCESS
from roentgen.errors import InputError
from roentgen.manifest import write_manifest
from roentgen.record.finding import FindingName
from roentgen.storage import CARD
from roentgen.verify import verify
from roentgen.vision.classifier import Classifier, load_classifier
from roentgen.vision.network_cache import NetworkCache
from roentgen.vision.network_settings import ClassifierConfig
from roentgen.weights import EXTRACTOR

LICENSE = {"name": "CC0-1.0", "data_use": None, "may_share": True}
ROOT = Path(__file__).parents[2]
Draws = np.random.Generator
FAST, ALL = 3, 100  # damages of each kind


@dataclass(frozen=True)
class Target:
    """A finished folder, another run's of the same kind, and what uses it."""

    whole: Path
    other: Path
    use: Callable[[Path], None]  # raises InputError, or asserts what it reads
    is_made_again: bool = False
    unverified: tuple[str, ...] = ()  # files that nobody reads


def files_of(target: Target, folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.name not in target.unverified)


def change_bytes(change: Callable[[bytearray, int, Draws], None]) -> Callable[..., None]:
    """Damage of one file by a change of its bytes near a place."""

    def damage(target: Target, folder: Path, draws: Draws) -> None:
        files = files_of(target, folder)
        path = files[draws.integers(len(files))]
        data = before = path.read_bytes()
        while data == before:
            changed = bytearray(before)
            change(changed, int(draws.integers(len(changed))), draws)
            data = bytes(changed)
        path.write_bytes(data)

    return damage


def flip(data: bytearray, place: int, draws: Draws) -> None:
    data[place] ^= 1 << int(draws.integers(8))


def overwrite(data: bytearray, place: int, draws: Draws) -> None:
    data[place] = int(draws.integers(256))


def cut(data: bytearray, place: int, draws: Draws) -> None:
    del data[place:]


def append(data: bytearray, place: int, draws: Draws) -> None:
    data += data[place:] or b"\0"


def zero(data: bytearray, place: int, draws: Draws) -> None:
    end = min(len(data), place + int(draws.integers(1, 4096)))
    data[place:end] = bytes(end - place)


def exchange(target: Target, folder: Path, draws: Draws) -> None:
    files = files_of(target, folder)
    a, b = (files[i] for i in draws.choice(len(files), 2, replace=False))
    first, second = a.read_bytes(), b.read_bytes()
    if first == second:
        exchange(target, folder, draws)
        return
    a.write_bytes(second)
    b.write_bytes(first)


def replace_by_others(target: Target, folder: Path, draws: Draws) -> None:
    names = [path.relative_to(folder) for path in files_of(target, folder)]
    differ = [n for n in names if (folder / n).read_bytes() != (target.other / n).read_bytes()]
    name = differ[draws.integers(len(differ))]
    shutil.copyfile(target.other / name, folder / name)


def remove(target: Target, folder: Path, draws: Draws) -> None:
    files = files_of(target, folder)
    files[draws.integers(len(files))].unlink()


def edit_json(target: Target, folder: Path, draws: Draws) -> None:
    """Another value in a JSON file, as a person edits it; in a cache, the header of a shard."""
    files = files_of(target, folder)
    jsons = [path for path in files if path.suffix == ".json" and path.stat().st_size > 5]
    if not jsons:
        (path,) = draws.choice(np.array(files_of(target, folder)), 1)
        data = path.read_bytes()
        path.write_bytes(data.replace(b"0123456789", b"9876543210"))
        assert path.read_bytes() != data
        return
    path = jsons[draws.integers(len(jsons))]
    value = json.loads(path.read_text())
    key = sorted(value)[draws.integers(len(value))] if isinstance(value, dict) else 0
    value[key] = "edited"
    path.write_text(json.dumps(value, indent=2))


def edit_rows(target: Target, folder: Path, draws: Draws) -> None:
    """A value of the same length in the largest files."""
    large = sorted(files_of(target, folder), key=lambda path: -path.stat().st_size)[:2]
    path = large[draws.integers(len(large))]
    data = path.read_bytes()
    edited = data.replace(b"Cardiomegaly", b"Pneumothorax")
    if edited == data:
        place = len(data) // 2 + 4 * int(draws.integers(len(data) // 16))
        edited = data[:place] + bytes(255 - b for b in data[place : place + 4]) + data[place + 4 :]
    path.write_bytes(edited)


KINDS: dict[str, Callable[..., None]] = {
    "bit flip": change_bytes(flip),
    "byte overwritten": change_bytes(overwrite),
    "truncation": change_bytes(cut),
    "appended bytes": change_bytes(append),
    "zeroed block": change_bytes(zero),
    "two files exchanged": exchange,
    "another run's file": replace_by_others,
    "missing file": remove,
    "edited JSON": edit_json,
    "edited values": edit_rows,
}


def read_dataset(folder: Path) -> None:
    dataset = open_dataset(folder)
    for name in dataset.splits:
        split = dataset.split(name)
        split.images(range(len(split)))
        assert [row.id for row in split] == split.ids()
        assert len(list(split.without_images())) == len(split)


CONTENTS = CacheContents(key="0123456789", items=2500, tensors={"x": (torch.float32, (4,))})
EXPECTED = torch.arange(10_000, dtype=torch.float32).reshape(-1, 4)
PREDICTIONS = [np.arange(12.0).reshape(3, 4), np.arange(5.0)]


def read_cache(folder: Path, contents: CacheContents = CONTENTS) -> None:
    cache = open_cache(
        folder,
        contents,
        lambda items: {"x": EXPECTED[items.start : items.stop]},
        label="x",
        chunk=1024,
        name_of=str,
        processes=SINGLE_PROCESS,
    )
    assert torch.equal(cache.read("x", range(contents.items)), EXPECTED)


class Kept(NetworkCache):
    """A cache of networks whose training is to take the shipped one."""

    def _train_classifier(self, *_: Any) -> Classifier:
        return load_classifier(EXTRACTOR)


def read_networks(folder: Path) -> None:
    cache = Kept(folder=folder, device=torch.device("cpu"))
    kept = cache.classifier(IMAGES, SETTINGS, 0).network.state_dict()
    for name, value in load_classifier(EXTRACTOR).network.state_dict().items():
        assert torch.equal(kept[name], value)
    for found, expected in zip(
        cache.arrays("predictions-x", 2, lambda: PREDICTIONS), PREDICTIONS, strict=True
    ):
        np.testing.assert_array_equal(found, expected)


@dataclass(frozen=True)
class NoImages:
    """The identity of images that nothing is trained on."""

    images: Any = ()
    findings: tuple[FindingName, ...] = ()
    labels: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    views: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    key: str = "none"


IMAGES, SETTINGS = NoImages(), ClassifierConfig(pretrained=None)


def other_networks(folder: Path) -> Path:
    """As `read_networks` makes it, of another run."""
    read_networks(folder)
    (classifier,) = folder.glob("classifier-*")
    network = load_classifier(classifier)
    with torch.no_grad():
        for value in network.network.parameters():
            value.mul_(2)
    network.save(classifier)
    NetworkCache(folder=folder).arrays(
        "predictions-y", 2, lambda: [2 * each for each in PREDICTIONS]
    )
    (folder / "predictions-y.safetensors").rename(folder / "predictions-x.safetensors")
    return folder


def load_model(folder: Path) -> None:
    load_components(str(folder))


@pytest.fixture(scope="module")
def targets(
    tmp_path_factory: pytest.TempPathFactory,
    small_dataset: Path,
    small_model: Path,
    make_small_dataset: Callable[..., Path],
) -> dict[str, Target]:
    place = tmp_path_factory.mktemp("targets")
    other = load_components(str(small_model))
    with torch.no_grad():
        for network in (other.unet, other.vae, other.text_encoder):
            for value in network.parameters():
                value.mul_(2)
    save_model(place / "model", other, licenses=[LICENSE], provenance={})
    read_cache(place / "cache-0123456789")
    read_cache(place / "cache-of another run", replace(CONTENTS, key="of another run"))
    read_networks(place / "networks")
    return {
        "dataset": Target(
            small_dataset,
            make_small_dataset(place / "dataset", size=64),
            read_dataset,
            unverified=(CARD,),
        ),
        "model": Target(small_model, place / "model", load_model, unverified=(CARD,)),
        "cache": Target(
            place / "cache-0123456789",
            place / "cache-of another run",
            read_cache,
            is_made_again=True,
        ),
        "networks": Target(
            place / "networks",
            other_networks(place / "other networks"),
            read_networks,
            is_made_again=True,
        ),
    }


def is_named(target: Target, folder: Path, capsys: pytest.CaptureFixture[str]) -> bool:
    """Whether using a damaged folder names the damage, or makes what is damaged again."""
    lost = not {p.relative_to(target.whole) for p in files_of(target, target.whole)} <= {
        p.relative_to(folder) for p in files_of(target, folder)
    }
    capsys.readouterr()
    try:
        target.use(folder)
    except InputError as error:
        return not target.is_made_again and "\n" not in str(error)
    printed = capsys.readouterr().out
    return target.is_made_again and (lost or "damaged" in printed)


@pytest.mark.parametrize("count", [FAST, pytest.param(ALL, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["dataset", "model", "cache", "networks"])
def test_every_damage_is_named(
    targets: dict[str, Target],
    name: str,
    kind: str,
    count: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    target = targets[name]
    unnamed, unverified = [], []
    for seed in range(count):
        draws = np.random.default_rng([seed, *kind.encode()])
        folder = tmp_path / f"{seed}-{CONTENTS.key}"
        shutil.copytree(target.whole, folder)
        KINDS[kind](target, folder, draws)
        is_absent = target.is_made_again and kind == "missing file"  # it is made when needed
        if not is_absent and not is_damaged(folder):
            unverified.append(seed)
        if not is_named(target, folder, capsys):
            unnamed.append(seed)
        shutil.rmtree(folder)
    assert (unnamed, unverified) == ([], [])


def is_damaged(folder: Path) -> bool:
    """Whether `roentgen.verify` finds damage."""
    try:
        return bool(verify(folder).damaged)
    except InputError:
        return True


def test_whole_folders_are_verified(targets: dict[str, Target]) -> None:
    for name, target in targets.items():
        for folder in (target.whole, *([target.other] if name != "networks" else [])):
            result = verify(folder)
            files = [path for path in folder.rglob("*") if path.is_file()]
            assert (result.damaged, result.unknown) == ([], [])
            assert result.files == len(files)
            assert result.bytes == sum(path.stat().st_size for path in files)


def test_a_file_that_was_added_is_named(targets: dict[str, Target], tmp_path: Path) -> None:
    dataset, model = tmp_path / "dataset", tmp_path / "model"
    shutil.copytree(targets["dataset"].whole, dataset)
    shutil.copyfile(dataset / "train/data-00000.arrow", dataset / "train/data-00001.arrow")
    assert verify(dataset).damaged == [f"{dataset}: train/data-00001.arrow is not one of its files"]
    read_dataset(dataset)
    assert len(open_dataset(dataset).split("train")) == 16  # only those of its index
    shutil.copytree(targets["model"].whole, model)
    weights = model / "unet/diffusion_pytorch_model.safetensors"
    shutil.copyfile(weights, weights.with_suffix(".fp16.safetensors"))  # which would be preferred
    with pytest.raises(InputError, match=r"fp16\.safetensors is not one of its files; remove it$"):
        load_model(model)
    assert len(verify(model).damaged) == 1
    run = tmp_path / "run"  # which grows
    run.mkdir()
    write_manifest(run, "run", "x", [LICENSE], {})
    (run / "log.csv").write_text("step\n")
    assert (verify(run).damaged, verify(run).unknown) == ([], [run / "log.csv"])


def test_intact_networks_that_were_exchanged_are_trained_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = Kept(folder=tmp_path, device=torch.device("cpu"))
    for seed in (0, 1):
        cache.classifier(IMAGES, SETTINGS, seed)
    assert verify(tmp_path).damaged == []
    first, second = sorted(tmp_path.glob("classifier-*"))
    first.rename(tmp_path / "third")
    second.rename(first)
    (tmp_path / "third").rename(second)
    assert verify(tmp_path).damaged == [
        f"{first}: key.json is of {second.name}",
        f"{second}: key.json is of {first.name}",
    ]
    for seed in (0, 1):
        cache.classifier(IMAGES, SETTINGS, seed)
    printed = capsys.readouterr().out
    assert f"trained again, as {first} is damaged: key.json is of {second.name}" in printed
    assert f"trained again, as {second} is damaged: key.json is of {first.name}" in printed
    assert verify(tmp_path).damaged == []


def test_links_out_of_a_folder_are_not_followed(small_dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(small_dataset, tmp_path / "d")
    shard = tmp_path / "d/train/data-00000.arrow"
    shard.rename(tmp_path / "elsewhere")
    shard.symlink_to(tmp_path / "elsewhere")
    assert verify(tmp_path / "d").damaged == [f"{shard} is a link out of the folder"]


def test_the_program_ends_with_0_or_1(small_dataset: Path, tmp_path: Path) -> None:
    def run(folder: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "roentgen.verify", str(folder)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    whole = run(small_dataset)
    assert whole.returncode == 0
    assert whole.stdout.splitlines()[-1].endswith("kB: all as they were written")
    shutil.copytree(small_dataset, tmp_path / "d")
    (tmp_path / "d/mine.txt").write_text("a note")
    (tmp_path / "d/README.md").write_text("another card")
    changed = run(tmp_path / "d")
    assert changed.returncode == 1
    lines = changed.stdout.splitlines()
    assert lines[0] == f"damaged: {tmp_path / 'd'}: mine.txt is not one of its files"
    assert lines[1] == f"edited, as a card may be: {tmp_path / 'd/README.md'}"
    assert lines[2].endswith("1 damaged")
    (tmp_path / "d/mine.txt").unlink()
    assert run(tmp_path / "d").returncode == 0
    (tmp_path / "d/README.md").unlink()
    assert run(tmp_path / "d").returncode == 1
    (tmp_path / "empty").mkdir()
    assert "holds nothing that has checksums" in run(tmp_path / "empty").stderr
