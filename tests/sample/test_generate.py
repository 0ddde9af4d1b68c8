import os
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
from roentgen.text.prompts import PromptStyle
from sample.config import GenerateConfig, PromptsConfig, SamplerSettings
from sample.generate import generate, model_manifest, sheet_choice, trained_style
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
    config = replace(config, sampler=replace(config.sampler, batch_size=1))
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


def test_the_style_is_the_models_own(model: Path) -> None:
    assert not trained_style(model_manifest(str(model))).mention_absent
    mixture = [
        {"style": {"text": "impression"}, "weight": 1.0},
        {"style": {"demographics": True}, "weight": 3.0},
    ]
    made_by: dict[str, Any] = {"config": {"prompt": {}, "styles": mixture}}
    assert trained_style({"provenance": made_by}).demographics
    assert trained_style({"provenance": {}}).mention_absent


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
        generate(load_config(GenerateConfig, [str(file), override]))
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
