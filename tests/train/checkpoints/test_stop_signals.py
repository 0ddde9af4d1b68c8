import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from train.checkpoints.stop_signals import STOPPED, StopFlag, StoppedError, StopSignals

ROOT = Path(__file__).parents[3]
Write = Callable[..., Path]
FineTune = Callable[..., Any]


def send(number: int) -> None:
    os.kill(os.getpid(), number)


def marker(folder: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((folder / "stopped.json").read_text())
    return told


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_before_training_a_signal_ends_the_program_at_once(
    tmp_path: Path, number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as ended, StopSignals(tmp_path):
        send(number)  # one that returned would end the test: nothing was raised
    assert ended.value.code == STOPPED == 75
    assert marker(tmp_path) == {"step": None, "signal": number.name, "exit_code": 75}
    told = f"stopped by {number.name}, before the first step: resume with resume=true\n"
    assert capsys.readouterr().out == told
    assert signal.getsignal(number) is before


def test_while_training_a_signal_waits_to_be_asked_about(tmp_path: Path) -> None:
    with StopSignals(tmp_path) as stop, stop.deferred() as stop_flag:
        assert not stop_flag.exchange(stop.received)
        send(signal.SIGUSR1)
        send(signal.SIGTERM)  # what comes after the first changes nothing
        assert stop_flag.exchange(stop.received)
    assert list(tmp_path.iterdir()) == []


def test_nothing_swallows_it() -> None:
    assert not issubclass(StoppedError, Exception)


def test_an_error_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(KeyError), StopSignals(tmp_path):
        raise KeyError


def send_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a signal come while a step is at work."""
    from train.loop import slice_losses

    def losses(training: Any, batch: Any) -> torch.Tensor:
        if training.state.step == step - 1:
            send(signal.SIGTERM)
        return slice_losses(training, batch)

    monkeypatch.setattr("train.loop.slice_losses", losses)


def test_a_stopped_run_has_saved_its_step_and_resumes_to_the_same_bits(
    write: Write, fine_tune: FineTune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(steps=5, checkpoint={"every": 4})
    whole = fine_tune(path, f"--output={tmp_path / 'whole'}")
    with monkeypatch.context() as patch:
        send_at(3, patch)
        with pytest.raises(SystemExit, match="75"):
            fine_tune(path, "--resume=true")  # from the first start on
    folder = tmp_path / "run"
    assert marker(folder)["step"] == 3
    assert [saved.name for saved in (folder / "checkpoints").iterdir()] == ["step-00000003"]
    resumed = fine_tune(path, "--resume=true")
    assert not (folder / "stopped.json").exists()
    one, other = whole.checkpoint(5), resumed.checkpoint(5)
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []
    assert whole.metrics("loss") == resumed.metrics("loss")


def test_while_caching_what_is_finished_is_kept(
    write: Write, fine_tune: FineTune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from train.loading.latent_cache import _posteriors

    monkeypatch.setattr("roentgen.cache.SHARD_BYTES", 4096)  # 4 images of 2 x 4x8x8 in float16
    calls = 0

    def posteriors(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            send(signal.SIGTERM)
        return _posteriors(*arguments)

    path = write(steps=1, validation=None)
    with monkeypatch.context() as patch:
        patch.setattr("train.loading.latent_cache._posteriors", posteriors)
        with pytest.raises(SystemExit, match="75"):
            fine_tune(path)
    folder = tmp_path / "run"
    assert marker(folder)["step"] is None
    kept = {shard: shard.stat().st_mtime_ns for shard in folder.glob("caches/*/shard-*")}
    assert len(kept) == 2
    assert list(folder.glob("caches/*/.*.partial")) == []
    fine_tune(path, "--resume=true")
    assert {shard: shard.stat().st_mtime_ns for shard in kept} == kept
    assert len(list(folder.glob("caches/*/shard-*"))) == 4


AGREE = """
import sys, time
import torch.distributed as dist
from train.checkpoints.stop_signals import StopFlag

rank = int(sys.argv[1])
dist.init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=rank, world_size=2)
stop_flag = StopFlag()
dist.barrier()
if rank == 1:
    time.sleep(3)
began = time.monotonic()
answers = [stop_flag.exchange(False)]
waited = time.monotonic() - began
answers += [stop_flag.exchange(rank == 1 and step == 2) for step in range(1, 5)]
stop_flag.close()
print(waited < 2, *answers)
dist.destroy_process_group()
"""


def test_two_processes_agree_a_step_later_without_waiting_for_each_other(tmp_path: Path) -> None:
    script = tmp_path / "agree.py"
    script.write_text(AGREE)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    ranks = [
        subprocess.Popen(
            [sys.executable, str(script), str(rank), str(tmp_path / "meet")],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    told = [process.communicate(timeout=120)[0] for process in ranks]
    assert told == ["True False False False True False\n"] * 2


def test_alone_it_is_known_at_once() -> None:
    Accelerator(cpu=True)
    stop_flag = StopFlag()
    assert [stop_flag.exchange(wanted) for wanted in (False, True, False)] == [False, True, False]


ACCELERATE = ("accelerate.commands.launch", "--quiet", "--multi_gpu", "--num_processes=2")
LAUNCHERS = {
    "torchrun": ("torch.distributed.run", "--nproc_per_node=2", "--standalone"),
    "accelerate": (*ACCELERATE, "--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no"),
}


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
@pytest.mark.parametrize(("number", "target"), [("SIGTERM", "all"), ("SIGUSR1", "launcher")])
def test_under_launchers_both_processes_stop_after_the_same_step(
    write: Write, tmp_path: Path, launcher: str, number: str, target: str
) -> None:
    path = write(steps=2000, validation=None)
    command = [sys.executable, "-m", *LAUNCHERS[launcher], "-m", "train.finetune", str(path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    # As configs/accelerate/slurm.sbatch says it: launchers hand on SIGUSR1 only when told to.
    environment["PET_SIGNALS_TO_HANDLE"] = "SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1"
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=tmp_path,
        start_new_session=True,
    )
    folder = tmp_path / "run"
    while not (folder / "metrics.jsonl").exists():
        assert process.poll() is None, process.communicate()[0][-3000:]
        time.sleep(0.2)
    time.sleep(2)
    signals = signal.Signals[number]
    os.killpg(process.pid, signals) if target == "all" else process.send_signal(signals)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 1  # launchers have no other: hence stopped.json
    told = marker(folder)
    assert told["exit_code"] == 75
    (saved,) = (folder / "checkpoints").iterdir()
    assert saved.name == f"step-{told['step']:08d}"
    assert f"saved after step {told['step']}: resume with resume=true" in out
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["step"] == told["step"]
