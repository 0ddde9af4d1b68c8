"""The main job, program by program, on a handful of small phantoms and a small random model."""

import json
import subprocess
import sys
from pathlib import Path

import datasets
import pytest

from eval import evaluate, train_extractor
from roentgen import prepare
from roentgen.dataset.dataset import open_dataset
from roentgen.manifest import read_manifest
from sample import generate
from train import finetune

ROOT = Path(__file__).parents[2]


def _run(monkeypatch: pytest.MonkeyPatch, main: object, recipe: str, **changes: object) -> None:
    """A program's main with a committed recipe and overrides, as on the command line."""
    overrides = [f"--{name.replace('__', '.')}={value}" for name, value in changes.items()]
    monkeypatch.setattr(sys, "argv", ["program", str(ROOT / "configs" / recipe), *overrides])
    main()  # type: ignore[operator]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_prepare_finetune_generate_evaluate(
    tmp_path: Path, small_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    phantoms, run, drawn = tmp_path / "phantoms", tmp_path / "run", tmp_path / "drawn"
    sizes = {"phantom__train": 24, "phantom__validate": 4, "phantom__test": 20}
    _run(monkeypatch, prepare.main, "data/demo.yaml", output=phantoms, size=32, workers=1, **sizes)
    dataset = open_dataset(phantoms)
    assert dataset.splits == ("train", "validate", "test")

    _run(
        monkeypatch,
        finetune.main,
        "train/demo.yaml",
        base=small_model,
        data__folder=phantoms,
        output=run,
        steps=2,
        batch_size=4,
        precision="fp32",
        preview="null",
    )
    licenses = read_manifest(run / "model", "model")["licenses"]
    assert {"Apache-2.0", "CC0-1.0"} == {terms["name"] for terms in licenses}

    _run(
        monkeypatch,
        generate.main,
        "sample/demo.yaml",
        model=run / "model",
        prompts__dataset__folder=phantoms,
        prompts__dataset__limit=12,
        sampler__steps=2,
        sampler__guidance_interval="null",
        output=drawn,
    )
    records = datasets.load_from_disk(str(drawn))["train"]  # without our code
    assert len(records) == 24
    assert records[0]["image"].size == (32, 32)
    assert (drawn / "contact_sheet.png").is_file()

    _run(
        monkeypatch,
        train_extractor.main,
        "eval/extractor.yaml",
        dataset=phantoms,
        unlabeled=[],
        validate_split="test",
        classifier__steps=3,
        corruptions__vae_images=4,
        corruptions__round_trips=1,
        corruptions__incomplete_studies=4,
        output=tmp_path / "extractor",
    )
    _run(
        monkeypatch,
        evaluate.main,
        "eval/demo.yaml",
        reference__train__folder=phantoms,
        reference__test__folder=phantoms,
        synthetic=f"{{before: {drawn}, after: {drawn}}}",
        extractors=f"[{{weights: {tmp_path / 'extractor'}}}]",
        fidelity__bootstrap=20,
        classifier__steps=3,
        bootstrap=20,
        privacy__membership_images=20,
        output=tmp_path / "report",
    )
    results = json.loads((tmp_path / "report" / "results.json").read_text())
    fid = results["fidelity"]["roentgen"]["fid"]
    assert fid["before"]["value"] == pytest.approx(fid["after"]["value"])  # the same set twice
    page = (tmp_path / "report" / "report.html").read_text()
    assert "<img" in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_a_users_mistake_is_one_line() -> None:
    command = [sys.executable, "-m", "roentgen.prepare", "configs/data/demo.yaml", "--phantm=1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "phantm" in done.stderr
