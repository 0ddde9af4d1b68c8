import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

from roentgen.config import load_config
from roentgen.dataset.dataset import open_dataset
from roentgen.diffusion.backbones.stable_diffusion import load_components
from roentgen.errors import InputError
from roentgen.file_lock import process_lock
from roentgen.manifest import portable, read_manifest
from train.checkpoints.checkpoint import save_checkpoint
from train.checks import check_inputs
from train.config import FinetuneConfig
from train.finetuning import finetune
from train.setup.run_folder import remove_incomplete

Write = Callable[..., Path]
ROOT = Path(__file__).parents[2]


def run(path: Path, *overrides: str) -> Path:
    """Fine-tune in this process; the run folder."""
    AcceleratorState._reset_state(reset_partial_state=True)
    config = load_config(FinetuneConfig, [str(path), *overrides])
    finetune(config)
    return config.output


def metrics(folder: Path, name: str) -> list[float]:
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [line[name] for line in lines if name in line]


def checkpoint(folder: Path, step: int) -> dict[str, torch.Tensor]:
    path = folder / "checkpoints" / f"step-{step:08d}"
    return {
        f"{file.stem}:{name}": tensor
        for file in path.glob("*.safetensors")
        for name, tensor in load_file(file).items()
    }


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers 0.42
def test_it_trains_both_nets_and_leaves_a_model_and_a_record(
    write: Write, small_model: Path, small_dataset: Path
) -> None:
    preview = {"prompts": ["<view-pa> cardiomegaly", "edema"], "count": 2, "steps": 2}
    folder = run(write(preview=preview))
    before, after = load_components(str(small_model)), load_components(str(folder / "model"))
    for net in ("unet", "text_encoder"):
        old, new = (dict(getattr(p, net).named_parameters()) for p in (before, after))
        moved = [n for n in old if not torch.equal(old[n], new[n][: len(old[n])])]
        assert len(moved) > 0.9 * len(old)
    assert all(
        torch.equal(a, b)
        for a, b in zip(before.vae.parameters(), after.vae.parameters(), strict=True)
    )
    assert len(after.tokenizer) == 49411
    assert (folder / "previews" / "step-00000002.png").stat().st_size > 1000
    assert list((folder / "tensorboard").iterdir())
    assert len(metrics(folder, "loss")) == 2
    assert len(metrics(folder, "held_out_loss")) == len(metrics(folder, "held_out_loss_ema")) == 1
    manifest = json.loads((folder / "model" / "roentgen.json").read_text())
    assert manifest["licenses"] == [{"name": "CC0-1.0", "data_use": None, "may_share": True}]
    assert manifest["provenance"]["made_from"].keys() == {"base", "dataset"}
    own, base = manifest["provenance"]["training_prompts"]
    split = open_dataset(small_dataset).split("train")
    views = Counter(r.view for r in split.without_images())
    findings = Counter(f.name for r in split.without_images() for f in r.findings)
    assert (own["model"], own["images"]) == (None, len(split))
    assert own["stated"] == {
        "finding": findings,
        "text_form": {"a list of findings": len(split)},
        "view": views,
    }
    assert base == {"model": portable(str(small_model)), "images": None, "stated": {}}
    again = load_config(FinetuneConfig, [str(folder / "config.yaml")])
    assert again.output == folder


def test_the_model_holds_the_average(write: Write) -> None:
    folder = run(write())
    weights = {
        f"unet.{n}": w for n, w in load_components(str(folder / "model")).unet.state_dict().items()
    }
    saved = checkpoint(folder, 2)
    assert all(torch.equal(w, saved[f"ema:{n}"]) for n, w in weights.items())
    assert any(not torch.equal(w, saved[f"weights:{n}"]) for n, w in weights.items())


class KilledError(Exception):
    """Stands for the death of the process."""


def die(*_: object) -> None:
    raise KilledError


def kill_after(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let training die in the middle of a later step than its last checkpoint."""

    def save_or_die(folder: Path, state: Any, *rest: Any, **options: Any) -> None:
        if state.step > step:
            raise KilledError
        save_checkpoint(folder, state, *rest, **options)

    monkeypatch.setattr("train.checkpoints.saver.save_checkpoint", save_or_die)


def test_a_killed_run_resumes_to_the_same_bits(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Seven steps of 6 over 16 images: the order crosses epochs within batches.
    settings = {"steps": 7, "batch_size": 6, "checkpoint": {"every": 3}}
    settings |= {"objective": {"min_snr_gamma": 5}, "optimizer": {"warmup": 2}}
    whole = run(write(**settings), f"--output={tmp_path / 'whole'}")
    path = write(**settings)
    with monkeypatch.context() as patch:
        kill_after(3, patch)
        with pytest.raises(KilledError):
            run(path)
    folder = run(path, "--resume=true")
    assert_same(checkpoint(folder, 7), checkpoint(whole, 7))
    assert metrics(folder, "loss") == metrics(whole, "loss")
    assert metrics(folder, "held_out_loss") == metrics(whole, "held_out_loss")


def test_bfloat16_checkpointing_and_adafactor(write: Write) -> None:
    path = write(precision="bf16", gradient_checkpointing=True, optimizer={"name": "adafactor"})
    folder = run(path, "--ema=null")
    weights = checkpoint(folder, 2)
    assert {tensor.dtype for name, tensor in weights.items() if name.startswith("weights")} == {
        torch.float32
    }
    assert not any(name.startswith("ema") for name in weights)


@pytest.mark.parametrize(("fast", "precision"), [(True, "bf16"), (False, "fp32")])
def test_automatic_precision_is_bfloat16_where_the_cpu_computes_it(
    write: Write, monkeypatch: pytest.MonkeyPatch, fast: bool, precision: str
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: fast)
    path = write(precision="auto", validation=None, preview=None)
    folder = run(path)
    assert read_manifest(folder, "run")["provenance"]["config"]["precision"] == precision
    losses = metrics(folder, "loss")
    explicit = metrics(run(path, "--overwrite=true", f"--precision={precision}"), "loss")
    assert losses == explicit


def test_gradient_checkpointing_changes_nothing(write: Write, tmp_path: Path) -> None:
    plain = metrics(run(write(), f"--output={tmp_path / 'plain'}"), "loss")
    saving = metrics(run(write(gradient_checkpointing=True)), "loss")
    assert saving == pytest.approx(plain, rel=1e-6)


def test_a_frozen_net_stays_as_it_was(write: Write, small_model: Path) -> None:
    folder = run(write(learning_rate={"unet": 1e-3, "text_encoder": None}))
    before, after = load_components(str(small_model)), load_components(str(folder / "model"))
    old, new = before.text_encoder.state_dict(), after.text_encoder.state_dict()
    assert all(torch.equal(old[n], new[n][: len(old[n])]) for n in old)


def test_v_prediction_is_taught_only_on_request_and_saved(write: Write) -> None:
    path = write(objective={"prediction": "v_prediction"})
    with pytest.raises(InputError, match=r"is v_prediction, but base model .* predicts epsilon"):
        run(path)
    folder = run(path, "--objective.change_prediction=true")
    assert load_components(str(folder / "model")).scheduler.config.prediction_type == "v_prediction"


def test_a_mixture_of_styles_trains(write: Write) -> None:
    styles = [{"style": {"text": "findings"}, "weight": 2}, {"style": {"text": "impression"}}]
    assert len(metrics(run(write(styles=styles)), "loss")) == 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("--base=nowhere", "base model 'nowhere' not found"),
        ("--data.folder=/no/where", "no such folder: /no/where"),
        ("--data.split=test", r"no split 'test'; it has: train \(16\), validate \(6\)"),
        ("--data.validate_split=train", "is in both .*train and .*train"),
        ("--batch_size=17", "batch_size 17 is larger than split 'train'"),
        ("--gradient_accumulation=3", "batch_size 4 cannot be cut"),
        ("--optimizer.klip=1", "unknown key optimizer.klip"),
        ("--learning_rate={unet: null, text_encoder: null}", "both networks are frozen"),
        ("--objective.caption_dropout=1.5", r"objective\.caption_dropout is 1\.5"),
        ("--precision=fp16", "precision fp16 needs a GPU"),
        ("--attention=xformers", "attention=xformers needs a CUDA GPU and the package"),
        ("--preview.prompts=[a, <view-xx> edema]", r"preview\.prompts\[1\]: unknown view token"),
        (f"--preview.prompts=[{'mass ' * 90}]", r"prompts\[0\] has 92 tokens and .* takes 77"),
        ("--preview={prompts: [a], steps: 1000}", "preview.steps is 1000, but the model knows"),
    ],
)
def test_a_users_mistake_is_one_line_and_leaves_nothing(
    write: Write, tmp_path: Path, override: str, message: str
) -> None:
    with pytest.raises(InputError, match=message) as error:
        run(write(), override)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_images_of_an_unfit_size_are_refused(
    write: Write, tmp_path: Path, make_small_dataset: Callable[..., Path]
) -> None:
    data = make_small_dataset(tmp_path / "odd", size=30)
    with pytest.raises(InputError, match=r"images are 30x30: .* divisible by 4"):
        run(write(data={"folder": str(data)}))


def test_an_output_that_is_in_use_is_refused(write: Write, tmp_path: Path) -> None:
    path = write()
    folder = run(path)
    with pytest.raises(InputError, match=r"holds a run: set resume=true .* or overwrite=true"):
        run(path)
    with pytest.raises(InputError, match=r"another run \(config.batch_size: 4 -> 8\): restore"):
        run(path, "--resume=true", "--batch_size=8")
    first = (folder / "config.yaml").read_text()
    run(path, "--resume=true", "--log_every=2")  # nothing is left to do, and nothing is harmed
    assert (folder / "config.yaml").read_text() == first
    later = load_config(FinetuneConfig, [str(folder / "config-from-step-00000002.yaml")])
    assert (later.resume, later.log_every) == (True, 2)
    run(path, "--overwrite=true", "--batch_size=8")
    assert len(metrics(folder, "loss")) == 2
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "diary.txt").write_text("mine")
    (tmp_path / "other" / "config.yaml").write_text("steps: 1")
    with pytest.raises(InputError, match="is not empty and no run folder"):
        run(path, f"--output={tmp_path / 'other'}", "--overwrite=true")
    with pytest.raises(InputError, match="is a model folder, but a run folder is expected"):
        run(path, f"--output={folder / 'model'}", "--overwrite=true")
    assert (folder / "model" / "unet").exists()


def test_a_resumed_run_removes_the_checkpoint_that_a_kill_left(write: Write) -> None:
    path = write(checkpoint={"every": 1, "keep": 1})
    checkpoints = run(path) / "checkpoints"
    assert [step.name for step in checkpoints.iterdir()] == ["step-00000002"]
    shutil.copytree(checkpoints / "step-00000002", checkpoints / "step-00000001")
    run(path, "--resume=true")
    assert [step.name for step in checkpoints.iterdir()] == ["step-00000002"]


def test_a_second_run_beside_a_living_one_is_refused_and_harms_nothing(
    write: Write, tmp_path: Path
) -> None:
    path = write()
    folder = run(path)
    before = {file: file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}
    with process_lock(tmp_path / ".run.lock"):  # as a job does that a scheduler has requeued
        for override in ("--resume=true", "--overwrite=true"):
            with pytest.raises(InputError, match=r"another run is making .*/run \(process \d+ on "):
                run(path, override)
    assert {file: file.read_bytes() for file in before} == before
    assert sorted(file for file in folder.rglob("*") if file.is_file()) == list(before)


def test_a_run_killed_while_its_folder_is_made_begins_again(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".run.partial").mkdir()
    (tmp_path / ".run.partial" / "half").touch()
    (tmp_path / ".run.lock").touch()
    folder = run(write())
    assert (folder / "model" / "roentgen.json").exists()
    assert not list(tmp_path.glob(".*"))
    assert f"removed .run.partial in {tmp_path}" in capsys.readouterr().err


def test_the_run_folder_says_what_it_is_from_the_start(
    write: Write, tmp_path: Path, small_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.run.assemble", die)
    with pytest.raises(KilledError):
        run(write())
    manifest = read_manifest(tmp_path / "run", "run")
    source = manifest["provenance"]["made_from"]["dataset"]
    assert source["fingerprint"] == open_dataset(small_dataset).fingerprint
    assert manifest["provenance"]["versions"]["torch"]
    assert manifest["licenses"] == [{"name": "CC0-1.0", "data_use": None, "may_share": True}]


def test_a_run_without_a_whole_checkpoint_is_not_silently_begun_anew(
    write: Write, tmp_path: Path
) -> None:
    folder = run(write())
    (folder / "checkpoints" / "step-00000002" / "weights.safetensors").write_bytes(b"half")
    for override in ("--resume=true", "--resume=false"):
        with pytest.raises(
            InputError, match="holds a run but no complete checkpoint to resume from"
        ):
            run(write(), override)


def test_what_a_kill_left_half_done_is_removed(tmp_path: Path) -> None:
    (tmp_path / "checkpoints" / ".step-00000004.abc.partial").mkdir(parents=True)
    (tmp_path / "checkpoints" / "step-00000002").mkdir()
    (tmp_path / "caches" / "latents-train-0").mkdir(parents=True)
    for name in (".shard-00000.safetensors.0.partial", "shard-00001.safetensors"):
        (tmp_path / "caches" / "latents-train-0" / name).write_text("")
    (tmp_path / ".metrics.jsonl.abc.partial").write_text("")
    remove_incomplete(tmp_path)
    left = {path.name for path in tmp_path.rglob("*") if not any(path.glob("*"))}
    assert left == {"step-00000002", "shard-00001.safetensors"}


def test_too_little_space_is_told_before_any_work(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=2_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(InputError, match=r"2\.00 MB free, but \d+\.\d+ MB are needed"):
        run(write())
    assert not (tmp_path / "run").exists()


def test_the_space_needed_is_what_a_run_takes(write: Write, small_model: Path) -> None:
    path = write(steps=4, checkpoint={"every": 1, "keep": 2})
    path.write_text(path.read_text().replace("data:\n", "data:\n  augment: {variants: 3}\n"))
    folder = run(path)
    again = [str(path), f"--output={folder.with_name('other')}"]
    needed = check_inputs(load_config(FinetuneConfig, again)).disk
    for name, share in (("checkpoints", 2 / 3), ("model", 1), ("caches", 1)):
        taken = sum(file.stat().st_size for file in (folder / name).rglob("*.safetensors"))
        # Of checkpoints there are three while one is being written, two when done.
        assert taken == pytest.approx(needed.pop(name) * share, rel=0.02)
    assert needed == {"averages": 0}


def test_the_program_tells_a_mistake_in_one_line(write: Write) -> None:
    command = [sys.executable, "-m", "train.finetune", str(write()), "--base=nowhere"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: base model 'nowhere' not found")
    assert done.stderr.count("\n") == 1
