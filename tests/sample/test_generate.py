import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from diffusers import AutoencoderKL
from PIL import Image

from roentgen.checksums import read_checked_json, write_checked_json
from roentgen.config import config_to_yaml, load_config
from roentgen.dataset.dataset import RadiographDataset, open_dataset
from roentgen.dataset.shards import ShardWriter
from roentgen.diffusion.backbones.model_folder import model_manifest
from roentgen.diffusion.sampling.sampler import Sampler
from roentgen.diffusion.sampling.settings import SamplerSettings
from roentgen.diffusion.training_record import (
    trained_long_prompts,
    trained_preparation,
    trained_style,
)
from roentgen.errors import InputError
from roentgen.generation.generator import Generator
from roentgen.generation.planned_images import PlannedImage
from roentgen.generation.training_scope import TrainingScope, TrainingStage
from roentgen.imaging.images import decode
from roentgen.manifest import portable
from roentgen.prompts.grammar import PromptStyle
from roentgen.record.finding import Finding
from roentgen.record.radiograph import Radiograph
from sample.config import GenerateConfig
from sample.generate import main
from sample.generation import dry_run, generate
from sample.plan import plan_images
from sample.plan_sheet import sheet_rows
from sample.prompts.config import DatasetPrompts, PromptsConfig

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
    assert (last.synthesis.steps, last.synthesis.scheduler) == (4, "DPM-Solver++ Karras")
    assert len({r.synthesis.seed for r in radiographs if r.synthesis}) == 4
    assert pq.read_table(folder / "plan.parquet")["id"].to_pylist() == [r.id for r in radiographs]
    with Image.open(folder / "contact_sheet.png") as sheet:
        assert sheet.width > 2 * 160
    assert not [path for path in folder.parent.iterdir() if path.name.startswith(".")]


def test_a_plain_diffusers_folder_draws(config: GenerateConfig, model: Path) -> None:
    plain = config.output.with_name("plain")
    ours = shutil.ignore_patterns("roentgen.json", "checksums.json")
    shutil.copytree(model, plain, ignore=ours)
    dataset = open_dataset(generate(replace(config, model=str(plain), style=PromptStyle())))
    assert len(dataset.split("train")) > 0


def test_batch_and_repetition_do_not_change_the_set(config: GenerateConfig, tmp_path: Path) -> None:
    first = open_dataset(generate(config))
    again = open_dataset(generate(replace(config, output=tmp_path / "again")))
    assert again.fingerprint == first.fingerprint
    one = SamplerSettings(steps=4, batch_size=1, device="cpu")
    single = open_dataset(generate(replace(config, output=tmp_path / "one", sampler=one)))
    assert np.abs(pixels(first) - pixels(single)).max() <= 1
    other = open_dataset(generate(replace(config, output=tmp_path / "seed", seed=1)))
    assert np.abs(pixels(first) - pixels(other)).max() > 1


def test_images_that_are_not_finite_are_drawn_again_and_named(
    config: GenerateConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = replace(config, sampler=replace(config.sampler, dtype="bfloat16"))
    latents = Sampler.latents

    def overflow(self: Sampler, batch: Any, conditions: Any = None) -> torch.Tensor:
        found = latents(self, batch, conditions).clone()
        if self.dtype != torch.float32:
            found[1] = torch.inf
        return found

    plain = pixels(open_dataset(generate(half)))
    monkeypatch.setattr(Sampler, "latents", overflow)
    dataset = open_dataset(generate(replace(half, output=tmp_path / "redrawn")))
    made_from = dataset.manifest["provenance"]
    assert made_from["redrawn"] == [list(dataset.split("train"))[1].id]
    assert made_from["redrawn"][0] in made_from["notes"][-1]
    found = pixels(dataset)
    np.testing.assert_array_equal(found[[0, 2, 3]], plain[[0, 2, 3]])
    assert 0 < np.abs(found[1] - plain[1]).mean() < 10  # the same image, less rounded
    monkeypatch.setattr(Sampler, "latents", lambda *a: latents(*a) * torch.nan)
    with pytest.raises(InputError, match="is not finite, in float32 too"):
        generate(replace(half, output=tmp_path / "broken"))
    assert not (tmp_path / "broken").exists()


@pytest.mark.parametrize("level", [-3.0, 0.2])
def test_images_of_one_gray_level_are_named(
    config: GenerateConfig,
    level: float,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    decode = AutoencoderKL.decode

    def constant(self: AutoencoderKL, latents: torch.Tensor) -> Any:
        found = decode(self, latents)
        found.sample[1:3] = level  # of one batch
        return found

    monkeypatch.setattr(AutoencoderKL, "decode", constant)
    dataset = open_dataset(generate(config))
    made_from, ids = dataset.manifest["provenance"], [r.id for r in dataset.split("train")]
    levels = pixels(dataset).reshape(len(ids), -1)
    expected = [name for name, gray in zip(ids, levels, strict=True) if np.ptp(gray) == 0]
    assert ids[1:3] == expected[:2]
    assert made_from["constant"] == expected
    note = made_from["notes"][-1]
    assert note.startswith(f"{len(expected)} images are black or of one gray level")
    assert ids[1] in note
    assert note in capsys.readouterr().out
    assert made_from["redrawn"] == []


def test_two_processes_make_the_same_set(config: GenerateConfig, tmp_path: Path) -> None:
    config = replace(config, sampler=replace(config.sampler, batch_size=1, device=None))
    alone = open_dataset(generate(config))
    output = tmp_path / "two"
    file = tmp_path / "config.yaml"
    file.write_text(config_to_yaml(replace(config, output=output)))
    process = launched(file, TRANSFORMERS_VERBOSITY="info")
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    assert open_dataset(output).fingerprint == alone.fingerprint
    assert out.count("plan.parquet") == 1
    assert err.count("loading weights file") == 2  # both processes drew


def launched(file: Path, *, processes: int = 2, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}"]
    command += ["--standalone", "-m", "sample.generate", str(file)]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finished(process: subprocess.Popen[str], within: float | None = None) -> bool:
    """Whether it ends by itself in so many seconds; else it is killed with all that it started."""
    try:
        _, err = process.communicate(timeout=within)
    except subprocess.TimeoutExpired:
        # The launcher and its processes, which are in sessions of their own.
        config = str(process.args).split("'")[-2].encode()
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                if config in path.read_bytes().split(b"\0"):
                    os.kill(int(path.parent.name), signal.SIGKILL)
        process.communicate()
        return False
    assert process.returncode == 0, err
    return True


def stop_after(monkeypatch: pytest.MonkeyPatch, images: int) -> None:
    """Let drawing end, as a kill would, after so many images; 0 undoes it."""
    draw, left = Generator.draw, iter(range(images))

    def ends(self: Generator, planned: Iterable[PlannedImage]) -> Iterator[Radiograph]:
        for radiograph in draw(self, planned):
            if next(left, None) is None:
                raise MemoryError("killed")
            yield radiograph

    monkeypatch.setattr(Generator, "draw", ends)


def test_an_interrupted_run_resumes(
    config: GenerateConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = replace(config, sampler=replace(config.sampler, batch_size=1))  # a part an image
    whole = open_dataset(generate(replace(config, output=tmp_path / "whole")))
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        with pytest.raises(MemoryError):
            generate(config)
    folder = tmp_path / ".synthetic.generating"
    parts = sorted((folder / "dataset" / "train").iterdir())
    assert len(parts) == 3
    damaged = bytearray(parts[1].read_bytes())
    damaged[len(damaged) // 2] ^= 1
    parts[1].write_bytes(damaged)
    with pytest.raises(
        InputError, match=r"3 finished parts of a run with another seed.*: run that"
    ):
        generate(replace(config, seed=1))
    assert len(list((folder / "parts").iterdir())) == 3
    # Batches of another size change nothing but the last bits.
    made = open_dataset(generate(replace(config, sheet_prompts=1)))
    message = capsys.readouterr().out
    assert "1 parts are damaged and made again" in message
    assert "resuming with 2 of 4 parts" in message
    assert made.fingerprint == whole.fingerprint
    assert not folder.exists()


def test_a_run_resumes_with_another_batch_size(
    config: GenerateConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(config, sampler=replace(config.sampler, batch_size=2))
    whole = open_dataset(generate(replace(config, output=tmp_path / "whole")))
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        with pytest.raises(MemoryError):
            generate(config)
    made = open_dataset(generate(replace(config, sampler=replace(config.sampler, batch_size=1))))
    assert np.abs(pixels(made) - pixels(whole)).max() <= 1
    assert made.split("train").ids() == whole.split("train").ids()


@pytest.mark.slow
def test_twenty_kills_lose_and_repeat_nothing(config: GenerateConfig, tmp_path: Path) -> None:
    """2,000 images by two processes, both killed at 20 random moments."""
    prompts = replace(config.prompts, count=500, views=("PA", "AP"))
    file, whole = tmp_path / "config.yaml", tmp_path / "whole"
    config = replace(config, prompts=prompts, sampler=replace(config.sampler, device=None))
    file.write_text(config_to_yaml(replace(config, output=whole)))
    started = time.monotonic()
    assert finished(launched(file))
    taken = time.monotonic() - started
    file.write_text(config_to_yaml(config))
    moments, killed = np.random.default_rng(0), 0
    while killed < 20:
        process = launched(file)
        killed += not finished(process, within=moments.uniform(0.2, 0.8) * taken)
        if config.output.exists():  # it was faster: once more from the beginning
            shutil.rmtree(config.output)
    assert finished(launched(file))
    made, expected = open_dataset(config.output), open_dataset(whole)
    assert made.fingerprint == expected.fingerprint
    ids = made.split("train").ids()
    assert ids == expected.split("train").ids()
    assert len(set(ids)) == 2000


def test_every_image_says_that_it_is_synthetic(config: GenerateConfig) -> None:
    for radiograph in open_dataset(generate(config)).split("train"):
        with Image.open(io.BytesIO(radiograph.image)) as image:
            message = image.text  # type: ignore[attr-defined]
        synthesis = radiograph.synthesis
        assert synthesis is not None
        assert message["Description"].startswith("synthetic")
        assert message["Prompt"] == synthesis.prompt
        assert message["Model"] == synthesis.model
        assert message["Seed"] == str(synthesis.seed)


def test_radiographs_come_one_by_one(model: Path, config: GenerateConfig) -> None:
    generator = Generator(str(model), config.sampler)
    drawn = generator("left nodule", views=("PA", "LATERAL"), count=10**6)
    first = list(islice(drawn, 3))
    assert [radiograph.view for radiograph in first] == ["PA"] * 3
    prompts = PromptsConfig(findings=("left nodule",), views=("PA",), count=3)
    made = open_dataset(generate(replace(config, prompts=prompts))).split("train")
    assert [r.id for r in first] == [r.id for r in made]
    images = [decode(r.image).astype(int) for r in first]
    assert np.abs(np.stack(images) - np.stack(made.images(range(3)))).max() <= 1
    with pytest.raises(InputError, match="unknown word 'fever'"):
        list(generator("fever"))


def test_a_dry_run_counts_and_draws_nothing(
    config: GenerateConfig,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    findings = ("cardiomegaly", "no edema, moderate right and small left effusion")
    config = replace(config, prompts=replace(config.prompts, findings=findings))
    file = tmp_path / "config.yaml"
    file.write_text(config_to_yaml(config))
    monkeypatch.setattr(sys, "argv", ["generate", str(file), "--dry-run"])
    main()
    message = capsys.readouterr().out
    assert message.startswith("4 images for 2 prompts\nviews: PA 4\n")
    assert "present: Cardiomegaly 2, Pleural Effusion 2" in message
    assert re.search(r"time: [\d.]+ minutes with 1 running", message)
    assert "disk: 0.00 GB" in message
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


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
        with pytest.raises(InputError, match="has a prompt style that cannot be read"):
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
    unknown, note = open_dataset(folder).manifest["provenance"]["notes"]
    assert unknown.startswith(f"what {portable(config.model)} was trained on is not recorded: ")
    assert note == "1 of 1 prompts were truncated to 77 tokens"
    assert f"generate: {unknown}\ngenerate: {note}\n" in capsys.readouterr().out


def test_a_view_and_a_form_that_the_model_never_saw_are_noted(
    config: GenerateConfig, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tuned = tmp_path / "tuned"
    shutil.copytree(model, tuned)
    manifest = read_checked_json(tuned / "roentgen.json")
    counts = {("view", "PA"): 90, ("finding", "Edema"): 20}
    counts["text_form", "a report's impression"] = 90
    scope = TrainingScope((TrainingStage.of(90, counts),))
    manifest["provenance"]["training_prompts"] = scope.to_json()
    write_checked_json(tuned / "roentgen.json", manifest)
    prompts = PromptsConfig(findings=("edema",), views=("PA", "LATERAL"))
    asking = replace(config, model=str(tuned), prompts=prompts, style=PromptStyle())
    folder = generate(asking)
    view, form = open_dataset(folder).manifest["provenance"]["notes"]
    assert view == (
        "1 of 2 prompts ask for the view LATERAL, which the model never saw (it was trained on "
        "PA 90)"
    )
    assert form.startswith("2 of 2 prompts consist of a list of findings, which the")
    printed = capsys.readouterr().out
    assert f"generate: {view}\ngenerate: {form}\n" in printed
    assert f"- {view}\n- {form}\n" in (folder / "README.md").read_text()
    assert f"note: {view}\nnote: {form}\n" in dry_run(replace(asking, output=tmp_path / "new"))


def test_a_dataset_lends_its_prompts_and_the_models_its_preparation(
    config: GenerateConfig, small_model: Path, small_dataset: Path, tmp_path: Path
) -> None:
    tuned = tmp_path / "tuned"
    shutil.copytree(small_model, tuned)
    manifest = read_checked_json(tuned / "roentgen.json")
    source = open_dataset(small_dataset)
    about = {"kind": "dataset", "fingerprint": source.fingerprint, "path": str(small_dataset)}
    manifest["provenance"] = {"made_from": {"dataset": about}}
    write_checked_json(tuned / "roentgen.json", manifest)
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
    _, note = made.manifest["provenance"]["notes"]
    assert "does not know <view-" in note


def test_the_contact_sheet_shows_four_images_at_most_of_evenly_spread_prompts() -> None:
    starts = np.arange(0, 12, 3)  # four prompts of three images
    assert sheet_rows(starts, 12, 2) == [range(3), range(6, 9)]
    assert sheet_rows(np.arange(4), 4, 16) == [range(i, i + 1) for i in range(4)]
    assert sheet_rows(np.array([0, 9]), 11, 2) == [range(4), range(9, 11)]


@pytest.mark.parametrize(
    ("override", "message"),
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
    config: GenerateConfig, tmp_path: Path, override: str, message: str
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(config_to_yaml(config))
    with pytest.raises(InputError) as caught:
        generate(load_config(GenerateConfig, [str(file), *re.split(" (?=--)", override)]))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


def test_an_existing_output_is_replaced_only_with_overwrite(config: GenerateConfig) -> None:
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

    monkeypatch.setattr("sample.generation.write_plan", fail)
    with pytest.raises(InputError, match=r"no space left on the disk of .*synthetic: 0 finished"):
        generate(config)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_costs_no_finished_part(
    config: GenerateConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(config, sampler=replace(config.sampler, batch_size=1))
    whole = open_dataset(generate(replace(config, output=tmp_path / "whole")))
    room, close = iter(range(2)), ShardWriter.close

    def full(self: ShardWriter) -> None:
        if next(room, None) is None:
            raise OSError(28, "No space left on device")
        close(self)

    with monkeypatch.context() as patch:
        patch.setattr(ShardWriter, "close", full)
        with pytest.raises(InputError, match=r"no space left.*: 2 finished parts remain"):
            generate(config)
    assert len(list((tmp_path / ".synthetic.generating" / "parts").iterdir())) == 2
    assert open_dataset(generate(config)).fingerprint == whole.fingerprint


@pytest.mark.parametrize("name", ["demo", "demo_base", "roentgen", "findings"])
def test_the_recipes_can_be_read(name: str) -> None:
    config = load_config(GenerateConfig, [str(ROOT / f"configs/sample/{name}.yaml")])
    if config.prompts.findings is not None:
        assert next(plan_images(config.prompts, PromptStyle(), config.sampler, 0))
