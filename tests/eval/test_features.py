"""Features are made once for each set and extractor, and go on where they were interrupted."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from eval.config import EvaluateConfig, ExtractorConfig, FidelityConfig, ReferenceSetConfig
from eval.evaluation import domains_of
from eval.features import features_of
from eval.fidelity.scores import fidelity
from eval.sets import read_sets
from roentgen.errors import InputError
from roentgen.metrics.features.feature_set import FeatureSet
from roentgen.vision.features.network import Definition, Extractor

DEFINITION = Definition(
    name="means", layer="none", weights="0", resize="none", pixels="[0, 255]", dimension=3
)


class Counting(Extractor):
    """Three means of an image; counts what it encodes and fails when told to."""

    def __init__(self, fails_after: int | None = None, weights: str = "0") -> None:
        self.seen = 0
        self.fails_after = fails_after
        self.definition = Definition(**{**vars(DEFINITION), "weights": weights})

    def __call__(self, images: np.ndarray) -> np.ndarray:
        if self.fails_after is not None and self.seen >= self.fails_after:
            raise KeyboardInterrupt
        self.seen += len(images)
        x = images.astype(np.float32)
        return np.stack([x.mean((1, 2)), x[:, :16].mean((1, 2)), x[:, :, :16].mean((1, 2))], 1)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, write_drawn: Any) -> Path:
    folder = tmp_path_factory.mktemp("features")
    write_drawn(folder / "real", {"train": 90, "test": 60}, 1)
    write_drawn(folder / "made", {"train": 70}, 2, synthetic=True)
    return folder


def config_of(place: Path, output: Path, **changes: Any) -> EvaluateConfig:
    return EvaluateConfig(
        reference=ReferenceSetConfig.of(place / "real"),
        synthetic={"made": place / "made"},
        findings=("Pleural Effusion", "Pneumothorax"),
        output=output,
        **changes,
    )


def test_each_image_is_encoded_once(place: Path, tmp_path: Path) -> None:
    config = config_of(place, tmp_path)
    images = read_sets(config).train
    first, again = Counting(), Counting()
    made = features_of(config, images, first)
    kept = features_of(config, images, again)
    assert (first.seen, again.seen) == (90, 0)
    expected = Counting()(images.images[:])
    np.testing.assert_array_equal(made.features[:], expected)
    np.testing.assert_array_equal(kept.features[np.array([70, 3])], expected[[70, 3]])
    other = Counting(weights="1")
    features_of(config, images, other)
    assert other.seen == 90  # other weights, other features
    backwards = features_of(config, images.take(np.arange(90)[::-1]), Counting())
    np.testing.assert_array_equal(backwards.features[:], expected[::-1])
    fewer = Counting()
    features_of(config, images.take(np.arange(10)), fewer)
    assert fewer.seen == 10


def test_an_interrupted_run_encodes_only_what_is_missing(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("roentgen.cache.SHARD_BYTES", 20 * 3 * 4)  # shards of 20 images
    config = config_of(place, tmp_path)
    images = read_sets(config).train
    with pytest.raises(KeyboardInterrupt):
        features_of(config, images, Counting(fails_after=40))
    second = Counting()
    made = features_of(config, images, second)
    assert second.seen == 50
    np.testing.assert_array_equal(made.features[:], Counting()(images.images[:]))


def test_what_is_not_finite_is_named(place: Path, tmp_path: Path) -> None:
    class Broken(Counting):
        def __call__(self, images: np.ndarray) -> np.ndarray:
            return np.where(np.arange(len(images))[:, None] == 4, np.nan, super().__call__(images))

    config = config_of(place, tmp_path)
    with pytest.raises(InputError, match="image '1-train-4' of train: 'features' is not finite"):
        features_of(config, read_sets(config).train, Broken())


def test_numbers_on_disk_are_those_in_memory(place: Path, tmp_path: Path) -> None:
    config = config_of(place, tmp_path)
    sets = read_sets(config)
    cached = {i.name: features_of(config, i, Counting()) for i in sets.all()}
    held = {
        name: FeatureSet(features=item.features[:], patients=item.patients)
        for name, item in cached.items()
    }
    options: dict[str, Any] = {"k": 5, "clip": True, "subsets": 2, "samples": 20, "seed": 0}
    first, second = (
        fidelity({"made": of["made"]}, of["train"], of["test"], **options) for of in (cached, held)
    )
    assert first == second


def test_mistakes_are_told_before_any_work(place: Path, tmp_path: Path) -> None:
    many = config_of(place, tmp_path, fidelity=FidelityConfig(neighbors=60))
    with pytest.raises(InputError, match=r"fidelity\.neighbors is 60, but set 'test' has 60 im"):
        domains_of(many, read_sets(many))["fidelity"].check()
    gone = ExtractorConfig(name="timm", weights="nowhere")
    lacking = config_of(place, tmp_path, extractors=(gone,))
    with pytest.raises(InputError, match=r"extractor 'timm' has no weights \(nowhere does not ex"):
        domains_of(lacking, read_sets(lacking))["fidelity"].check()
    assert not list(tmp_path.iterdir())
    twice = tuple(ExtractorConfig(name="clip", weights=w) for w in ("a/b", "c/b/"))
    with pytest.raises(InputError, match="'clip b' twice"):
        config_of(place, tmp_path, extractors=twice)


def program(place: Path, output: Path) -> Path:
    values = {
        "reference": {
            "train": {"folder": str(place / "real"), "split": "train"},
            "test": {"folder": str(place / "real"), "split": "test"},
        },
        "synthetic": {"made": str(place / "made")},
        "findings": ["Pleural Effusion"],
        "output": str(output),
        "fidelity": {"bootstrap": 20, "min_subgroup_patients": 20},
        **dict.fromkeys(("diversity", "alignment", "utility")),
    }
    file = output.with_suffix(".yaml")
    file.write_text(yaml.safe_dump(values, sort_keys=False))
    return file


def test_two_processes_give_the_numbers_of_one(place: Path, tmp_path: Path) -> None:
    launcher = ("-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone")
    numbers = {}
    for name, launched in (("alone", ()), ("both", launcher)):
        path = program(place, tmp_path / name)
        command = [sys.executable, *launched, "-m", "eval.evaluate", str(path)]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=120, check=False, env=environment
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("fidelity: measures") == 1  # by the main process alone
        numbers[name] = json.loads((tmp_path / name / "results.json").read_text())["fidelity"]
    assert numbers["both"] == numbers["alone"]
    assert numbers["both"]["roentgen"]["subgroups"]["finding"]["Pleural Effusion"]["n"] >= 20


def test_precompute_caches_all_that_measuring_reads(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(
        place, tmp_path, caches=tmp_path / "own", fidelity=FidelityConfig(bootstrap=20)
    )
    sets = read_sets(config)
    domains_of(config, sets)["fidelity"].precompute()
    folders = sorted(file.name for file in config.caches_folder.iterdir())
    assert len(folders) == 3
    domains_of(config, sets)["fidelity"].precompute()
    assert sorted(file.name for file in config.caches_folder.iterdir()) == folders
