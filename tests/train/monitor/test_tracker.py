"""Trackers: TensorBoard's log read back by TensorBoard, the others' calls."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from accelerate import Accelerator
from tensorboard.backend.event_processing.plugin_event_accumulator import (  # type: ignore[import-untyped]
    EventAccumulator,
)
from tensorboard.util.tensor_util import make_ndarray  # type: ignore[import-untyped]

from roentgen.errors import InputError
from train.config import FinetuneConfig
from train.config_sections import DataConfig, Tracker
from train.monitor.metrics_log import MetricsLog
from train.monitor.tracker import RECORD
from train.setup.processes import check_tracker, make_accelerator


def settings(folder: Path, tracker: Tracker | None) -> FinetuneConfig:
    return FinetuneConfig(
        base="tiny",
        data=DataConfig(folder=folder),
        output=folder,
        steps=30,
        batch_size=1,
        tracker=tracker,
    )


def log_steps(log: MetricsLog, steps: range, folder: Path, value: float) -> None:
    for step in steps:
        log.write(step, {"train": {"loss": value}, "speed": {"images_per_second": 2.0}})
    sheet = np.full((8, 8), 77, np.uint8)
    log.write(steps[-1], {"validation": {"held_out_loss": value}})
    log.image(steps[-1], "preview", sheet, folder / "sheet.png")


def test_a_resumed_run_has_each_point_once_in_tensorboard(tmp_path: Path) -> None:
    config = settings(tmp_path, "tensorboard")
    for first, last, value in ((0, 6, 1.0), (4, 9, 2.0), (4, 9, 3.0), (9, 12, 4.0)):
        accelerator = Accelerator(cpu=True, log_with="tensorboard", project_dir=tmp_path)
        log = MetricsLog(config, accelerator, first)  # killed after `last`, but for the last one
        log_steps(log, range(first + 1, last + 1), tmp_path, value)
    accelerator.end_training()
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert set(board.Tags()["tensors"]) == {
        "train/loss",
        "speed/images_per_second",
        "validation/held_out_loss",
        "preview",
        "configuration/text_summary",
    }

    def points(name: str) -> dict[int, Any]:
        found = {event.step: make_ndarray(event.tensor_proto) for event in board.Tensors(name)}
        assert len(found) == len(board.Tensors(name))
        return found

    assert points("train/loss") == dict(enumerate([1.0] * 4 + [3.0] * 5 + [4.0] * 3, 1))
    assert list(points("validation/held_out_loss")) == [9, 12]
    assert points("preview").keys() == {9, 12}
    assert any(part.startswith(b"\x89PNG") for part in points("preview")[9])
    texts = points("configuration/text_summary")
    assert list(texts) == [1, 5, 10]  # where each start that counts began
    assert b"batch_size: 1" in texts[1].item()


class RecordingAccelerator:
    """Records what trackers get, as accelerate hands it on."""

    is_main_process = True

    def __init__(self, run: Any) -> None:
        self.started: dict[str, Any] = {}
        self.points: list[tuple[int, str, float]] = []
        self.files: list[str] = []
        self.run = run
        self.broken = False

    def init_trackers(self, project: str, config: Any, init_kwargs: Any) -> None:
        self.started = {"project": project, "config": config, "init_kwargs": init_kwargs}

    def log(self, values: dict[str, float], step: int) -> None:
        if self.broken:
            raise RuntimeError("no server")
        self.points += [(step, name, value) for name, value in values.items()]

    def get_tracker(self, name: str, unwrap: bool = False) -> Any:
        def log_artifact(path: str, folder: str) -> None:
            self.files.append(f"{folder}/{Path(path).name}")

        return self.run if unwrap else SimpleNamespace(log_artifact=log_artifact)


def test_a_resumed_run_continues_its_run_of_mlflow(tmp_path: Path) -> None:
    config = settings(tmp_path, "mlflow")
    first = RecordingAccelerator(SimpleNamespace(info=SimpleNamespace(run_id="abc")))
    log = MetricsLog(config, first, 0)
    assert first.started["init_kwargs"]["mlflow"]["run_id"] is None
    assert first.started["config"]["optimizer.clip"] == config.optimizer.clip
    assert first.started["config"]["ema.decay"] == 0.9999
    assert (tmp_path / RECORD).is_file()
    log_steps(log, range(1, 7), tmp_path, 1.0)  # killed; resumes after step 4
    second = RecordingAccelerator(first.run)
    log = MetricsLog(config, second, 4)
    assert second.started["init_kwargs"]["mlflow"]["run_id"] == "abc"
    assert second.started["config"] is None  # MLflow's parameters cannot change
    log_steps(log, range(5, 9), tmp_path, 1.0)
    points = [(step, name) for step, name, _ in first.points + second.points]
    assert len(points) == len(set(points))
    assert [step for step, name in points if name == "train/loss"] == list(range(1, 9))
    assert [step for step, name in points if name == "validation/held_out_loss"] == [6, 8]
    assert first.files == ["previews/sheet.png"]


def test_a_failing_tracker_is_disabled_with_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    accelerator = RecordingAccelerator(SimpleNamespace(id="abc"))
    log = MetricsLog(settings(tmp_path, "wandb"), accelerator, 0)
    log.write(1, {"train": {"loss": 1.0}})
    accelerator.broken = True
    log.write(2, {"train": {"loss": 1.0}})
    log.write(3, {"train": {"loss": 1.0}})
    (line,) = capsys.readouterr().out.splitlines()
    assert line == "warning: tracker wandb is disabled until the next start (no server)"
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 3


def test_a_tracker_that_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_tracker("tensorboard")
    check_tracker(None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    message = "tracker 'comet_ml' is not installed: pip install comet-ml, or choose tensorboard"
    with pytest.raises(InputError, match=message):
        make_accelerator(settings(tmp_path, "comet_ml"))
