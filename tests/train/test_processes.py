"""However a batch is shared out, over processes or over slices, it is the same training."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
STEPS, BATCH, ITEMS = 20, 8, 16
# Fine-tunes as the program does. Notes which items each process is given at each step; the latents
# of the item that SPOILT names are NaN.
PROGRAM = """
import json, math, os, sys
from pathlib import Path
from train import loop
from train.loading.batches import Examples
from train.finetune import main

slice_losses, make = loop.slice_losses, Examples.batch

def noted(training, batch):
    path = training.config.output / f"items-{training.accelerator.process_index}"
    with path.open("a") as file:
        file.write(json.dumps([training.state.step, batch.items.tolist()]) + "\\n")
    return slice_losses(training, batch)

def spoilt(self, draws, *rest):
    made = make(self, draws, *rest)
    made.latents[[str(item) == os.environ["SPOILT"] for item in draws.items]] = math.nan
    return made

loop.slice_losses = noted
if "SPOILT" in os.environ:
    Examples.batch = spoilt
main()
"""


@pytest.fixture
def launch(tmp_path: Path) -> Callable[..., None]:
    """Lets torchrun start so many processes."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)

    def launch_processes(path: Path, processes: int, *overrides: str, **extra: str) -> None:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += [f"--nproc_per_node={processes}", str(program), str(path), *overrides]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | extra
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr[-3000:]

    return launch_processes


def given(folder: Path) -> dict[int, list[int]]:
    """The items that the processes were given at each step, in their order."""
    items: dict[int, list[int]] = {}
    for path in sorted(folder.glob("items-*")):
        for line in path.read_text().splitlines():
            step, of_slice = json.loads(line)
            items.setdefault(step, []).extend(of_slice)
    return items


def test_two_processes_train_as_one(
    write: Callable[..., Path],
    fine_tune: Callable[..., Any],
    launch: Callable[..., None],
    tmp_path: Path,
) -> None:
    path = write(steps=STEPS, batch_size=BATCH)
    launch(path, 2)
    two, one = tmp_path / "run", fine_tune(path, f"--output={tmp_path / 'one'}")
    read = type(one)
    assert len(one.metrics("loss")) == STEPS
    for name in ("loss", "held_out_loss", "held_out_loss_ema"):
        assert read(two).metrics(name) == pytest.approx(one.metrics(name), rel=1e-5)
    items = given(two)
    assert len(list(two.glob("items-*"))) == 2
    assert {len(of_step) for of_step in items.values()} == {BATCH}
    # Twenty steps of eight are ten times sixteen items.
    counts = Counter(item for of_step in items.values() for item in of_step)
    assert counts == dict.fromkeys(range(ITEMS), STEPS * BATCH // ITEMS)


def test_slices_train_as_the_whole_batch(
    write: Callable[..., Path], fine_tune: Callable[..., Any], tmp_path: Path
) -> None:
    path = write(steps=STEPS, batch_size=BATCH, validation=None)
    whole = fine_tune(path, f"--output={tmp_path / 'whole'}").metrics("loss")
    sliced = fine_tune(path, "--gradient_accumulation=2").metrics("loss")
    assert len(whole) == STEPS
    assert sliced == pytest.approx(whole, rel=1e-5)


@pytest.mark.slow
def test_processes_agree_on_what_is_left_out(
    write: Callable[..., Path], launch: Callable[..., None], tmp_path: Path
) -> None:
    path = write(steps=6, batch_size=4, gradient_accumulation=2, log_every=5, validation=None)
    launch(path, 2, SPOILT="7")
    launch(path, 1, f"--output={tmp_path / 'one'}", SPOILT="7")
    lines = [
        [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        for folder in (tmp_path / "run", tmp_path / "one")
    ]
    told = [[line for line in of_run if "skipped" in line] for of_run in lines]
    assert told[0] == told[1]
    steps = [step for step, items in given(tmp_path / "run").items() if 7 in items]
    assert [(line["step"], line["items"]) for line in told[0]] == [
        (step + 1, ["train-7"]) for step in steps
    ]
    assert steps
    losses = [[line["loss"] for line in of_run if "loss" in line] for of_run in lines]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
