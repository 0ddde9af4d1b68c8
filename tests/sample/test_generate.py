import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from roentgen.config import config_to_yaml, load_config
from roentgen.data.dataset import RadiographDataset, open_dataset
from roentgen.data.findings import Finding
from roentgen.errors import InputError
from roentgen.models.sampler import SamplerSettings
from roentgen.models.trained import (
    model_manifest,
    trained_long_prompts,
    trained_preparation,
    trained_style,
)
from roentgen.text.prompts import PromptStyle
from sample.config import DatasetPrompts, GenerateConfig, PromptsConfig
from sample.generate import generate, sheet_choice
from sample.plan import make_plan

ROOT = Path(__file__).parents[2]
# diffusers' DPM-Solver++ hands a tensor to np.array.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)


@pytest.fixture
def config(model: Path, tmp_path: Path) -> GenerateConfig:
    return GenerateConfig(
        model=str(model),
        prompts=PromptsConfig(
            findings=("cardiomegaly", "no edema, small left effusion"), views=("PA",), count=2
        ),
        output=tmp_path / "synthetic",
        sampler=SamplerSettings(steps=4, batch_size=4, device="cpu"),
    )


def pixels(dataset: RadiographDataset) -> np.ndarray:
    split = dataset.split("train")
    return np.stack(split.images(range(len(split)))).astype(int)


def test_a_synthetic_set_is_a_radiograph_dataset(config: GenerateConfig, model: Path) -> None:
    folder = generate(config)
    dataset = open_dataset(folder)
    assert dataset.splits == ("train",)
    assert [item["name"] for item in dataset.licenses] == ["Apache-2.0"]
    made_from = dataset.manifest["provenance"]["made_from"]
    fingerprint = model_manifest(str(model))["fingerprint"]
    assert made_from["model"]["fingerprint"] == fingerprint
    radiographs = list(dataset.split("train"))
    assert len(radiographs) == 4
    assert len({radiograph.patient_id for radiograph in radiographs}) == 2
    last = radiographs[-1]
    assert last.source == "synthetic"
    assert last.license == "Apache-2.0"
    assert last.view == "PA"
    assert Finding(name="Edema", state="absent") in last.findings
    assert last.synthesis is not None
    assert last.synthesis.prompt == "<view-pa> small left pleural effusion, no edema"
    assert last.synthesis.model == fingerprint
    assert (last.synthesis.steps, last.synthesis.scheduler) == (4, "DPM-Solver++")
    assert len({r.synthesis.seed for r in radiographs if r.synthesis}) == 4
    assert pq.read_table(folder / "plan.parquet")["id"].to_pylist() == [r.id for r in radiographs]
    with Image.open(folder / "contact_sheet.png") as sheet:
        assert sheet.width > 2 * 160
    assert not [path for path in folder.parent.iterdir() if path.name.startswith(".")]


def test_batch_and_repetition_do_not_change_the_set(config: GenerateConfig, tmp_path: Path) -> None:
    first = open_dataset(generate(config))
    again = open_dataset(generate(replace(config, output=tmp_path / "again")))
    assert again.fingerprint == first.fingerprint
    one = SamplerSettings(steps=4, batch_size=1, device="cpu")
    single = open_dataset(generate(replace(config, output=tmp_path / "one", sampler=one)))
    assert np.abs(pixels(first) - pixels(single)).max() <= 1
    other = open_dataset(generate(replace(config, output=tmp_path / "seed", seed=1)))
    assert np.abs(pixels(first) - pixels(other)).max() > 1


def test_two_processes_make_the_same_set(config: GenerateConfig, tmp_path: Path) -> None:
    config = replace(config, sampler=replace(config.sampler, batch_size=1, device=None))
    alone = open_dataset(generate(config))
    output = tmp_path / "two"
    file = tmp_path / "config.yaml"
    file.write_text(config_to_yaml(replace(config, output=output)))
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    command += ["--standalone", "-m", "sample.generate", str(file)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert open_dataset(output).fingerprint == alone.fingerprint
    assert done.stdout.count("plan.parquet") == 1
    assert "generating (1 of 2)" in done.stderr


def test_the_style_is_the_models_own(model: Path) -> None:
    assert not trained_style(model_manifest(str(model))).mention_absent
    mixture = [
        {"style": {"text": "impression"}, "weight": 1.0},
        {"style": {"demographics": True}, "weight": 3.0},
    ]
    made_by: dict[str, Any] = {"config": {"prompt": {}, "styles": mixture}}
    assert trained_style({"provenance": made_by}).demographics
    assert trained_style({"provenance": {}}).mention_absent
    strange: list[Any] = [{"prompt": {"tone": "warm"}}, {"prompt": 3}, {"styles": [{}]}, "yes"]
    for foreign in strange:
        with pytest.raises(InputError, match="its prompt style in a way that is not understood"):
            trained_style({"provenance": {"config": foreign}})


def test_long_prompts_are_treated_as_in_training(
    config: GenerateConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    assert trained_long_prompts({"provenance": {}}) == "refuse"
    made_by = {"config": {"long_prompts": "truncate"}}
    assert trained_long_prompts({"provenance": made_by}) == "truncate"
    prompts = PromptsConfig(texts=("secret " * 100,))
    with pytest.raises(InputError, match="has 102 tokens"):
        generate(replace(config, prompts=prompts))
    folder = generate(replace(config, prompts=prompts, long_prompts="truncate"))
    (note,) = open_dataset(folder).manifest["provenance"]["notes"]
    assert note == "1 of 1 prompts were cut to 77 tokens"
    assert f"generate: {note}" in capsys.readouterr().out


def test_a_dataset_lends_its_prompts_and_the_models_its_preparation(
    config: GenerateConfig, small_model: Path, small_dataset: Path, tmp_path: Path
) -> None:
    tuned = tmp_path / "tuned"
    shutil.copytree(small_model, tuned)
    manifest = json.loads((tuned / "roentgen.json").read_text())
    source = open_dataset(small_dataset)
    about = {"kind": "dataset", "fingerprint": source.fingerprint, "path": str(small_dataset)}
    manifest["provenance"] = {"made_from": {"dataset": about}}
    (tuned / "roentgen.json").write_text(json.dumps(manifest))
    prompts = PromptsConfig(dataset=DatasetPrompts(folder=small_dataset, split="validate", limit=2))
    made = open_dataset(generate(replace(config, model=str(tuned), prompts=prompts)))
    assert made.manifest["preparation"] == {"size": 32, "fit": "pad"}
    about["fingerprint"] = "another"
    assert trained_preparation(manifest) == {}
    held_out = {r.id: r.patient_id for r in source.split("validate").without_images()}
    for radiograph in made.split("train").without_images():
        assert radiograph.synthesis is not None
        origin = radiograph.synthesis.from_radiograph
        assert origin is not None
        assert radiograph.synthesis.from_patient == held_out[origin]
    # This model was saved without view tokens.
    (note,) = made.manifest["provenance"]["notes"]
    assert "does not know <view-" in note


def test_the_contact_sheet_has_a_row_a_prompt() -> None:
    findings = tuple(f"{side} {what}" for side in ("left", "right") for what in ("mass", "nodule"))
    plan = make_plan(
        PromptsConfig(findings=findings, count=3), trained_style({"provenance": {}}), 0
    )
    columns, shown = sheet_choice(plan, 2)
    assert columns == 3
    assert list(shown.values()) == ["left mass"] * 3 + ["right mass"] * 3
    assert sheet_choice(plan[::3], 16)[0] == 8


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("--prompts.findings=[fever]", "unknown word 'fever'"),
        ("--prompts.findings=[]", "prompts.findings is empty"),
        ("--prompts.views=[OBLIQUE]", "prompts.views"),
        ("--prompts.count=0", "prompts.count is 0"),
        ("--sampler.scheduler=Euler", "sampler.scheduler"),
        ("--sampler.guidance_scale=0.5", "sampler.guidance_scale is 0.5"),
        ("--sampler.steps=1", "sampler.steps is 1"),
        ("--prompts.negative_prompt=mass --sampler.guidance_scale=1", "has no effect without"),
        ("--model=runs/none/model", "'runs/none/model' not found"),
        ("--prompts.negative_prompt=" + "mass " * 90, "prompt of negative_prompt has 92 tokens"),
        ("--sampler.stepps=3", "unknown key sampler.stepps; did you mean sampler.steps?"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    config: GenerateConfig, tmp_path: Path, override: str, told: str
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(config_to_yaml(config))
    with pytest.raises(InputError) as caught:
        generate(load_config(GenerateConfig, [str(file), *re.split(" (?=--)", override)]))
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


def test_an_existing_output_is_kept_unless_told(config: GenerateConfig) -> None:
    config.output.mkdir()
    (config.output / "notes.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="output folder"):
            generate(replace(config, overwrite=overwrite))
    assert (config.output / "notes.txt").read_text() == "mine"


def test_a_failure_leaves_nothing(
    config: GenerateConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sample.generate.write_plan", fail)
    with pytest.raises(OSError, match="No space"):
        generate(config)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["demo", "demo_base", "roentgen", "findings"])
def test_the_recipes_can_be_read(name: str) -> None:
    config = load_config(GenerateConfig, [str(ROOT / f"configs/sample/{name}.yaml")])
    if config.prompts.findings is not None:
        assert make_plan(config.prompts, PromptStyle(), 0)
