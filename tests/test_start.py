"""Every program answers help and mistakes at once: nothing heavy is imported before its work."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = {"torch", "torchvision", "torchmetrics", "diffusers", "transformers", "peft", "accelerate"}
HEAVY |= {"datasets", "safetensors", "matplotlib", "timm", "open_clip"}
SECONDS = 1.5  # of processor time for each start
# Runs a program's main with each of some command lines.
PROBE = """
import contextlib, importlib, io, json, os, sys
from roentgen.errors import run_program

name, *lines = json.loads(sys.argv[1])
program = importlib.import_module(name)
ends = []
for line in lines:
    sys.argv = [name, *line]
    errors = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
        try:
            run_program(program.main)
            code = 0
        except SystemExit as end:
            code = end.code
    ends.append([code, errors.getvalue()])
print(json.dumps({"ends": ends, "modules": list(sys.modules), "seconds": sum(os.times()[:2])}))
"""
# Each program's recipe, with a misspelt value and a wrong path.
PROGRAMS = {
    "roentgen.prepare": ("data/demo", "--fit=sideways", None),
    "roentgen.annotate.__main__": (
        "annotate/rules",
        "--max_bad_share=few",
        "--corpus.reports=no/such",
    ),
    "train.finetune": ("train/demo", "--objective.prediction=sample", "--data.folder=no/such"),
    "train.controlnet": ("train/masks_demo", "--attention=quick", "--base=no/such/model"),
    "train.average": ("train/average", "--save_precision=fp8", "--run=no/such"),
    "train.autoencoder": ("train/tiny_vae", "--learning_rate=fast", "--data=no/such"),
    "sample.generate": ("sample/demo", "--sampler.scheduler=DDPM", "--model=no/such/model"),
    "sample.screen": ("sample/screen", "--best_of=many", "--dataset=no/such"),
    "sample.export": ("sample/export", "--lineage=some", "--dataset=no/such"),
    "sample.bench": ("sample/bench", "--samples=few", "--model=no/such/model"),
    "sample.mask_sheet": ("sample/mask_sheet", "--views=[AB]", "--dataset=no/such"),
    "eval.evaluate": ("eval/demo", "--not_mentioned=maybe", "--reference.train.folder=no/such"),
    "eval.reconstruction": ("eval/reconstruction", "--seed=one", "--model=no/such/model"),
    "eval.labeler": ("eval/labeler", "--half=upper", "--reports=no/such"),
    "eval.train_extractor": ("eval/extractor", "--not_mentioned=maybe", "--dataset=no/such"),
}
FETCH = "roentgen.fetch.__main__"  # its argument is a name: a recipe, a repository, an extractor
FOLDER_PROGRAMS = ("roentgen.verify", "roentgen.publish.__main__")  # no recipe, but a folder


def start(program: str, *lines: list[str]) -> dict[str, Any]:
    """A process that runs a program with these command lines one after the other."""
    command = [sys.executable, "-c", PROBE, json.dumps([program, *lines])]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_and_mistakes_are_answered_before_anything_heavy_is_imported(program: str) -> None:
    recipe, value, path = PROGRAMS[program]
    file = f"configs/{recipe}.yaml"
    mistakes = ["--nothing=1", value, *([path] if path else [])]
    lines = [["--help"], ["no/such.yaml"], *([file, mistake] for mistake in mistakes)]
    ended = start(program, *lines)
    (code, _), *errors = ended["ends"]
    assert code == 0
    for (code, message), line in zip(errors, lines[1:], strict=True):
        assert code == 2, (line, message)
        assert message.startswith("error: ")
        assert message.count("\n") == 1
        wrong = line[-1].removeprefix("--")
        assert wrong.partition("=")[0] in message or wrong.partition("=")[2] in message
    assert HEAVY & set(ended["modules"]) == set()
    assert ended["seconds"] < SECONDS * len(lines)


@pytest.mark.parametrize("program", [*FOLDER_PROGRAMS, FETCH])
def test_programs_without_a_recipe_start_at_once(program: str) -> None:
    mistakes = [["no/such/x"], [], ["a", "b"], ["a", "--nothing=1"], ["a", "--nothing"]]
    what = "'no/such/x' is neither" if program == FETCH else "no such folder: no/such/x"
    words = [what, "give one ", ", not 2: a b", "unknown key nothing", "--nothing has no value"]
    ended = start(program, ["--help"], *mistakes)
    assert ended["ends"][0][0] == 0
    for (code, message), expected in zip(ended["ends"][1:], words, strict=True):
        assert code == 2
        assert message.startswith("error: ")
        assert message.count("\n") == 1
        assert expected in message
    assert HEAVY & set(ended["modules"]) == set()
    assert ended["seconds"] < SECONDS * (1 + len(mistakes))


def test_the_list_of_programs_is_complete() -> None:
    found = {
        file.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
        for folder in ("roentgen", "train", "sample", "eval")
        for file in (ROOT / folder).rglob("*.py")
        if "run_program(main)" in file.read_text(encoding="utf-8")
    }
    assert found == {*PROGRAMS, *FOLDER_PROGRAMS, FETCH}


# How each program is given a split that its dataset DATA lacks.
SPLITS = {
    "roentgen.annotate.__main__": (["--corpus=null", "--dataset={folder: DATA, split: tset}"],),
    "train.finetune": (
        ["--data.folder=DATA", "--data.split=tset"],
        ["--data.folder=DATA", "--data.validate_split=tset"],
    ),
    "train.controlnet": (["--base=tiny", "--data.folder=DATA", "--data.split=tset"],),
    "train.autoencoder": (["--data=DATA"],),  # it lacks the split "test"
    "sample.generate": (
        ["--model=tiny", "--prompts={dataset: {folder: DATA, split: tset}}"],
        ["--model=tiny", "--prompts={masks: {folder: DATA, split: tset}}"],
        [
            "--model=tiny",
            "--prompts={labels: {prevalence: {folder: DATA, split: tset}, images: 1}}",
        ],
        ["--model=tiny", "--prompts={labels: {balanced: {folder: DATA, split: tset}, images: 1}}"],
    ),
    "sample.screen": (
        ["--dataset=DATA", "--reference.folder=DATA", "--reference.held_out_split=tset"],
        ["--dataset=DATA", "--reference={folder: DATA, train_split: tset}"],
    ),
    "sample.bench": (
        ["--model=tiny", "--prompts.folder=DATA", "--prompts.split=tset"],
        ["--model=tiny", "--prompts={folder: DATA, split: train}", "--floor_split=tset"],
    ),
    "eval.evaluate": (
        ["--reference.train={folder: DATA, split: tset}"],
        ["--reference={train: {folder: DATA, split: train}, test: {folder: DATA, split: tset}}"],
    ),
    "eval.reconstruction": (["--model=tiny", "--reference.train={folder: DATA, split: tset}"],),
    "eval.train_extractor": (["--dataset=DATA", "--validate_split=tset"],),
}


@pytest.mark.parametrize("program", SPLITS)
def test_a_split_that_is_not_there_is_named_at_once(program: str, small_dataset: Path) -> None:
    recipe = f"configs/{PROGRAMS[program][0]}.yaml"
    lines = [
        [recipe, "--output=no/such", *(word.replace("DATA", str(small_dataset)) for word in line)]
        for line in SPLITS[program]
    ]
    ended = start(program, *lines)
    for code, message in ended["ends"]:
        assert code == 2
        assert message.startswith(f"error: dataset {small_dataset} has no split 't")
        assert "it has: train (16), validate (6)" in message
    assert HEAVY & set(ended["modules"]) == set()
    assert ended["seconds"] < SECONDS * len(lines)
