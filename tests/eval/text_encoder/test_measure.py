"""The text-encoder part on reports of drawn films, with an encoder that was made to forget."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from eval.config import EvaluateConfig, ReferenceSetConfig, TextEncoderConfig
from eval.evaluation import domains_of
from eval.report.section import as_json
from eval.sets import Sets, read_sets
from roentgen.dataset.dataset import DatasetWriter
from roentgen.errors import InputError
from roentgen.imaging.images import encode_png
from roentgen.record.finding import Finding
from roentgen.record.radiograph import Radiograph, Report
from roentgen.weights import TINY

LICENSE = {"name": "CC0-1.0", "data_use": None, "may_share": True}
PRESENT = ("Small left pneumothorax.", "There is a pneumothorax on the right.", "Pneumothorax.")
ABSENT = (  # of as many tokens each
    "Clear lungs, normal heart size.",
    "The heart and the lungs are both normal in size.",
    "Normal heart and lungs.",
)


def film(split: str, i: int) -> Radiograph:
    draws = np.random.default_rng(i)
    present = bool(draws.random() < 0.5)
    words = (PRESENT if present else ABSENT)[int(draws.integers(3))]
    return Radiograph(
        id=f"{split}-{i}",
        patient_id=f"{split}-{i}",
        study_id=f"{split}-{i}",
        split=split,  # type: ignore[arg-type]
        image=encode_png(np.zeros((32, 32), np.uint8)),
        findings=(Finding(name="Pneumothorax", state="present" if present else "absent"),),
        report=Report(impression=f"{words} {'Stable. ' * int(draws.integers(4))}"),
        source="drawn",
        license="CC0-1.0",
    )


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> EvaluateConfig:
    place = tmp_path_factory.mktemp("reports")
    for name, splits in (("real", ("train", "test")), ("made", ("test",))):
        with DatasetWriter(
            place / name, licenses=[LICENSE], provenance={"program": "drawn", "made_from": {}}
        ) as writer:
            for split in splits:
                for i in range(100 if split == "test" else 20):
                    radiograph = film(split, i)
                    writer.add(replace(radiograph, id=f"{name} {radiograph.id}"))
    ours = shutil.ignore_patterns("roentgen.json", "checksums.json")
    forgetful = Path(shutil.copytree(TINY, place / "forgetful", ignore=ours))
    weights = forgetful / "text_encoder" / "model.safetensors"
    state = load_file(weights)
    name = next(key for key in state if key.endswith("token_embedding.weight"))
    state[name] = state[name].mean(dim=0, keepdim=True).expand_as(state[name]).clone()
    save_file(state, weights, metadata={"format": "pt"})
    return EvaluateConfig(
        reference=ReferenceSetConfig.of(place / "real"),
        synthetic={"made": place / "made"},
        allow_reference_images=True,  # images do not matter here
        findings=("Pneumothorax", "Edema"),
        output=place / "results",
        bootstrap=100,
        text_encoder=TextEncoderConfig(before=str(forgetful), after="tiny"),
    )


@pytest.fixture(scope="module")
def sets(config: EvaluateConfig) -> Sets:
    return read_sets(config)


def test_an_encoder_that_knows_words_is_told_from_one_that_forgot(
    config: EvaluateConfig, sets: Sets
) -> None:
    domains_of(config, sets)["text_encoder"].check()
    domains_of(config, sets)["text_encoder"].precompute()
    part = domains_of(config, sets)["text_encoder"].measure()
    found = part.numbers["auroc"]["Pneumothorax"]
    assert found["after"].value == 1
    # Only lengths are left, which are the same with and without the finding.
    assert found["before"].high < 0.7
    assert found["difference"].low > 0
    assert part.numbers["auroc"]["Edema"]["after"].note.startswith("not measured: no positives")
    assert part.summary[0].sets["made"] == part.numbers["auroc"]["mean"]["difference"]
    assert part.numbers["n"] == 100
    text = " ".join(part.methods)
    assert "(number of texts: before 0, after 0)" in text
    json.dumps(as_json(part.numbers), allow_nan=False)
    cells = [cell for table in part.tables for row in table.rows for cell in row]
    assert all(value in cells for value in found.values())


def test_the_same_encoder_gains_nothing(config: EvaluateConfig, sets: Sets) -> None:
    same = replace(config, text_encoder=TextEncoderConfig(before="tiny", after="tiny"))
    part = domains_of(same, sets)["text_encoder"].measure()
    difference = part.numbers["auroc"]["Pneumothorax"]["difference"]
    assert (difference.value, difference.low, difference.high) == (0, 0, 0)


def test_mistakes_are_told_before_any_work(config: EvaluateConfig, sets: Sets) -> None:
    def refused(message: str, told: TextEncoderConfig) -> None:
        with pytest.raises(InputError, match=message):
            domains_of(replace(config, text_encoder=told), sets)["text_encoder"].check()

    refused("'nowhere' not found", TextEncoderConfig(before="nowhere", after="tiny"))
    refused(
        "reports of 0 patients have the section 'findings'; at least 20",
        TextEncoderConfig(before="tiny", after="tiny", text="findings"),
    )
    refused(
        "no such folder or archive of reports",
        TextEncoderConfig(before="tiny", after="tiny", reports=Path("nowhere.tgz")),
    )
    with pytest.raises(InputError, match=r"text_encoder.folds is 1: it must be at least 2"):
        TextEncoderConfig(before="tiny", after="tiny", folds=1)
