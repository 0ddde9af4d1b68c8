"""Training in each regime, on drawn images with answers known from how they were made."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eval.config import EvaluateConfig, ReferenceSetConfig, UtilityConfig
from eval.evaluation import domains_of
from eval.sets import read_sets
from eval.utility.measure import Utility
from roentgen.dataset.dataset import DatasetWriter, Identities, open_dataset
from roentgen.distributed import Launch
from roentgen.errors import InputError
from roentgen.metrics.estimates import Estimate
from roentgen.record.finding import FindingName
from roentgen.vision.classifier import train_classifier
from roentgen.vision.network_settings import ClassifierConfig

FINDINGS: tuple[FindingName, ...] = ("Pleural Effusion", "Pneumothorax")
MEAN = "mean"
SMALL = ClassifierConfig(steps=100, batch_size=16, widths=(8, 16, 32))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, write_drawn: Any) -> Path:
    """Real films, synthetic ones that are right, or drawn whatever was asked for, and copies."""
    folder = tmp_path_factory.mktemp("utility")
    write_drawn(folder / "real", {"train": 160, "test": 240}, 1)
    write_drawn(folder / "few", {"train": 40, "test": 240}, 1)
    write_drawn(folder / "clean", {"train": 400}, 2, synthetic=True)
    write_drawn(folder / "noise", {"train": 400}, 2, wrong=1.0, synthetic=True)
    write_drawn(folder / "copies", {"train": 160}, 1, synthetic=True)
    return folder


def config_of(place: Path, name: str, output: Path, **utility: Any) -> EvaluateConfig:
    return EvaluateConfig(
        reference=ReferenceSetConfig.of(place / "real"),
        synthetic={name: place / name},
        allow_reference_images=name == "copies",
        findings=FINDINGS,
        output=output,
        caches=place / "caches",
        bootstrap=200,
        classifier=SMALL,
        utility=UtilityConfig(**{"seeds": (0, 1, 2), **utility}),
    )


def numbers(config: EvaluateConfig) -> Any:
    sets = read_sets(config)
    domains_of(config, sets)["utility"].check()
    domains_of(config, sets)["utility"].precompute()
    return domains_of(config, sets)["utility"].measure().numbers


def test_label_noise_in_the_synthetic_set_costs_utility(place: Path, tmp_path: Path) -> None:
    # Pretraining takes 80 of 100 steps: the network needs that many to learn at all.
    told: dict[str, Any] = {"regimes": ("mixed", "pretrained"), "pretraining": 0.8}
    told |= {"seeds": tuple(range(5)), "validation": 0.4}
    few = ReferenceSetConfig.of(place / "few")
    clean, noise = (
        numbers(
            replace(config_of(place, name, tmp_path / name, **told), reference=few, min_cases=2)
        )
        for name in ("clean", "noise")
    )
    mixed = noise["gains"]["radiographs + all synthetic"]
    for metric in ("auroc", "f1"):
        assert mixed[metric][MEAN].estimate.high < 0, metric
        assert mixed[metric][MEAN].p.value > 0.5
    for name in ("radiographs + all synthetic", "all synthetic, then radiographs"):
        seeds = [x["trained"][name]["mean_auroc_by_seed"] for x in (noise, clean)]
        assert all(worse < better for worse, better in zip(*seeds, strict=True)), name
    # The real films are the same in both: so is what is learned from them.
    assert clean["trained"]["radiographs"] == noise["trained"]["radiographs"]
    assert clean["trained"]["radiographs"]["mean_auroc"].value > 0.7
    assert clean["counts"] == {"trained_on": 24, "validation": 16, "held_out": 240}
    entry = clean["trained"]["radiographs + all synthetic"]
    assert entry["real_images"] == 24
    assert entry["synthetic_images"] == 400


def test_copies_of_the_real_films_give_no_gain(place: Path, tmp_path: Path) -> None:
    result = numbers(config_of(place, "copies", tmp_path, regimes=("mixed",)))
    gain = result["gains"]["radiographs + all synthetic"]["auroc"][MEAN]
    assert gain.estimate.low < 0 < gain.estimate.high
    assert gain.p_corrected.value > 0.05


def test_multiples_that_the_set_is_too_small_for_are_stated(place: Path, tmp_path: Path) -> None:
    config = config_of(place, "clean", tmp_path, seeds=(0,), multiples=(1, 10))
    sets = read_sets(config)
    domains_of(config, sets)["utility"].precompute()
    result = domains_of(config, sets)["utility"].measure()
    trained = result.numbers["trained"]
    assert trained["1x synthetic"]["synthetic_images"] == 128
    missing = {name: e["note"] for name, e in trained.items() if "note" in e}
    why = "not measured: 1280 synthetic images are needed, there are 400"
    assert missing == {"10x synthetic": why, "radiographs + 10x synthetic": why}
    (table,) = (t for t in result.tables if t.name == "utility")
    (row,) = (row for row in table.rows if row[0] == "10x synthetic")
    assert row[1:] == (None, None, *[Estimate(value=None, n=0, note=why)] * 3)
    shown = {t.name for t in result.tables}
    assert {"utility-f1", "utility-gains", "utility-calibration", "utility-groups"} <= shown


def test_an_interrupted_run_goes_on_and_a_damaged_file_is_made_again(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = config_of(place, "clean", tmp_path, regimes=("mixed", "pretrained"))
    steps = replace(config.classifier, steps=3)
    config = replace(config, classifier=steps, caches=tmp_path / "caches")
    sets = read_sets(config)
    count = 0

    def counted(*args: Any, **options: Any) -> Any:
        nonlocal count
        count += 1
        if count == 5:
            raise KeyboardInterrupt
        return train_classifier(*args, **options)

    monkeypatch.setattr("roentgen.vision.network_cache.train_classifier", counted)
    with pytest.raises(KeyboardInterrupt):
        domains_of(config, sets)["utility"].precompute()
    domains_of(config, sets)["utility"].precompute()
    assert count == 1 + 3 + 3 + 2 * 3  # the interrupted one twice; pretraining is two trainings
    whole = domains_of(config, sets)["utility"].measure().numbers
    kept = sorted(config.caches_folder.glob("predictions-*"))
    assert len(kept) == 9
    content = kept[0].read_bytes()
    kept[0].write_bytes(content[:-9] + bytes(9))
    kept[1].write_bytes(b"")
    again = domains_of(config, sets)["utility"].measure().numbers
    assert again == whole
    assert kept[0].read_bytes() == content
    assert capsys.readouterr().out.count("is damaged: it is made again") == 2


def test_ranks_share_the_trainings(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(place, "clean", tmp_path, radiographs=(32, None))
    utility = domains_of(config, read_sets(config))["utility"]
    assert isinstance(utility, Utility)
    done: list[tuple[str, int]] = []
    monkeypatch.setattr(Utility, "_predicted", lambda _, t: done.append((t.regime.name, t.seed)))
    for rank in range(4):
        launch = Launch(process_index=rank, num_processes=4)
        monkeypatch.setattr("eval.utility.measure.this_launch", lambda launch=launch: launch)
        utility.precompute()
    every = [(t.regime.name, t.seed) for t in utility.plan.trainings]
    assert sorted(done) == sorted(every)
    assert len(set(every)) == len(every) == 5 * 3


def test_too_few_radiographs_with_cases_are_stated(place: Path, tmp_path: Path) -> None:
    config = config_of(place, "clean", tmp_path, seeds=(0,), radiographs=(2, None))
    config = replace(config, classifier=replace(config.classifier, steps=3))
    result = numbers(config)
    assert result["trained"]["2 radiographs"]["note"] == (
        "not measured: no finding has enough labels to train on"
    )
    gain = result["gains"]["2 radiographs + all synthetic"]["auroc"]
    assert gain["Pneumothorax"].estimate.note == "not measured: '2 radiographs' is not measured"


def plant(source: Path, folder: Path, split: str, patient: str) -> Path:
    """A dataset with one radiograph of a patient who does not belong there."""
    dataset = open_dataset(source)
    with DatasetWriter(
        folder,
        licenses=dataset.licenses,
        provenance={"program": "planted", "made_from": {}},
        preparation=dataset.manifest["preparation"],
    ) as writer:
        for name in dataset.splits:
            for i, radiograph in enumerate(dataset.split(name)):
                planted = name == split and i == 3
                writer.add(replace(radiograph, patient_id=patient) if planted else radiograph)
    return folder


def test_planted_leakage_is_refused_with_names(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaked = plant(place / "clean", tmp_path / "leaked", "train", "1-test-7")
    config = config_of(place, "clean", tmp_path / "a")
    config = replace(config, synthetic={"leaked": leaked})
    with pytest.raises(InputError, match=r"leaked holds 1 patients.*held out here \(1-test-7\)"):
        domains_of(config, read_sets(config))["utility"].check()
    # Our writer does not let a patient into two splits; this one comes in without its check.
    monkeypatch.setattr(Identities, "add", lambda *_: None)
    monkeypatch.setattr(Identities, "patients", lambda _: Counter(train=60, test=60))
    plant(place / "real", tmp_path / "real", "train", "1-test-7")
    config = replace(config, reference=ReferenceSetConfig.of(tmp_path / "real"))
    with pytest.raises(InputError, match=r"patient '1-test-7' is in both .*train and .*test"):
        read_sets(config)


def test_settings_that_make_no_sense_are_told(place: Path, tmp_path: Path) -> None:
    for message, values in (
        (r"utility\.seeds has 1 twice", {"seeds": (1, 1)}),
        (r"utility\.radiographs is \[60\].*null .*must be among them", {"radiographs": (60,)}),
        (r"utility\.radiographs is \[0, None\].*at least 1", {"radiographs": (0, None)}),
        (r"utility\.multiples is \[0\].*above 0", {"multiples": (0,)}),
        (r"utility\.validation is 1\.0", {"validation": 1.0}),
        (r"utility\.fine_tuning is 0", {"fine_tuning": 0}),
    ):
        with pytest.raises(InputError, match=message):
            UtilityConfig(**values)
    config = config_of(place, "clean", tmp_path, regimes=("pretrained",))
    config = replace(config, classifier=replace(config.classifier, steps=1))
    with pytest.raises(InputError, match=r"classifier\.steps is 1"):
        domains_of(config, read_sets(config))["utility"].check()


def test_utility_has_a_network_of_its_own_and_curves_by_the_number_of_radiographs(
    place: Path, tmp_path: Path
) -> None:
    own = replace(SMALL, steps=3, widths=(8, 16))
    config = config_of(
        place, "clean", tmp_path, seeds=(0, 1), radiographs=(40, 80, None), classifier=own
    )
    assert config.classifier == SMALL
    domain = domains_of(config, read_sets(config))["utility"]
    result = domain.measure()
    assert any("widths 8, 16, 3 steps of 16 images" in line for line in result.methods)
    trained = result.numbers["trained"]
    assert [e["real_images"] for e in trained.values()] == [128, 0, 128, 80, 80, 40, 40]
    alone, mixed = result.verdicts
    assert "Training on all synthetic" in alone.sentence
    assert all(f"with {n}" in mixed.sentence for n in (40, 80, 128))
    assert result.headline is not None
    assert "Dashed: no gain." in result.headline.caption
    drawn = [plot for plot in result.plots if "by the number of training" in plot.caption]
    assert [plot.caption[:4] for plot in drawn] == ["Mean", "Gain"]
    shared = config_of(place, "clean", tmp_path)
    domain = domains_of(shared, read_sets(shared))["utility"]
    assert isinstance(domain, Utility)
    assert domain.classifier == SMALL


def test_a_model_of_timm_can_be_the_network(place: Path, tmp_path: Path) -> None:
    config = config_of(place, "clean", tmp_path, seeds=(0,), regimes=("pretrained",))
    small = ClassifierConfig(network="test_resnet", steps=4, batch_size=8)
    sets = read_sets(replace(config, classifier=small))
    domains_of(replace(config, classifier=small), sets)["utility"].precompute()
    result = domains_of(replace(config, classifier=small), sets)["utility"].measure()
    assert any("test_resnet of timm" in line for line in result.methods)
    assert np.isfinite(result.numbers["trained"]["radiographs"]["mean_auroc"].value)
