"""Metrics log of a run: one JSON line per report, and the same numbers for the tracker."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from roentgen.storage import write_file
from train.checkpoints.saver import warn_if_unwritable
from train.config import RunConfig
from train.monitor.tracker import RunTracker
from train.setup import memory


class MetricsLog:
    """Appends to metrics.jsonl on the main process, and logs to the run's tracker.

    If the disk is full, lines are held in memory until there is room.
    """

    def __init__(self, config: RunConfig, accelerator: Accelerator, step: int) -> None:
        self._path = config.output / "metrics.jsonl"
        self._accelerator = accelerator
        self._waiting: list[str] = []  # lines not yet written
        logged: set[tuple[int, str]] = set()
        if accelerator.is_main_process and self._path.exists():
            # A resumed run repeats the steps after its checkpoint: their lines are removed, and so
            # is an incomplete last one.
            *lines, _ = self._path.read_text().split("\n")
            read = [json.loads(line) for line in lines]
            earlier = [
                line for line, values in zip(lines, read, strict=True) if values["step"] <= step
            ]
            write_file(self._path, "".join(f"{line}\n" for line in earlier))
            later = (values for values in read if values["step"] > step)
            logged = {(values["step"], name) for values in later for name in values}
        self._tracker = RunTracker(config, accelerator, step, logged)

    def write(self, step: int, groups: Mapping[str, Mapping[str, float]]) -> None:
        """Log numbers by group and name after `step` steps; names are unique over the groups."""
        self._tracker.log(step, groups)
        self.note(step, {name: value for named in groups.values() for name, value in named.items()})

    def note(self, step: int, values: Mapping[str, Any]) -> None:
        """Write a line to metrics.jsonl only."""
        if self._accelerator.is_main_process:
            self._waiting.append(json.dumps({"step": step, **values}) + "\n")
            with warn_if_unwritable(f"a line of {self._path}"):
                append(self._path, "".join(self._waiting))
                self._waiting = []

    def image(self, step: int, name: str, image: np.ndarray, file: Path) -> None:
        """Log a uint8 image, gray [H, W] or color [H, W, 3], that is in a file too."""
        self._tracker.image(step, name, image, file)


def append(path: Path, text: str) -> None:
    """Append to a file all or nothing. Raises OSError if the disk has no room."""
    with path.open("ab", buffering=0) as file:
        size = file.tell()
        data = text.encode()
        try:
            while data:
                data = data[file.write(data) :]
        except OSError:
            file.truncate(size)
            raise


class Throughput:
    """Training speed between two reports, and peak memory."""

    def __init__(self, batch: int, step: int, device: torch.device) -> None:
        self._batch = batch
        self._device = device
        self._began, self._step, self._waited = time.monotonic(), step, 0.0

    def pause(self, seconds: float) -> None:
        """Exclude seconds that were not spent on training."""
        self._began += seconds

    def log_values(self, step: int, waited: float) -> dict[str, float]:
        """For the log, after `step` steps and `waited` seconds of waiting for batches in total."""
        seconds = time.monotonic() - self._began
        numbers = {
            "images_per_second": (step - self._step) * self._batch / seconds,
            "loader_wait": (waited - self._waited) / seconds,  # a share
            "memory_gb": memory.peak(self._device) / 1e9,  # so far
        }
        self._began, self._step, self._waited = time.monotonic(), step, waited
        return numbers
