"""Metrics log of a run: one JSON line per report, and the same numbers for TensorBoard."""

import json
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from roentgen.storage import write_file
from train.checkpoints.saver import warn_if_unwritable
from train.setup import memory

BOARD_BYTES = 2**22  # free disk space below which TensorBoard is disabled


class MetricsLog:
    """Appends to metrics.jsonl on the main process, and to TensorBoard below the run folder.

    If the disk is full, lines are held in memory until there is room; TensorBoard, which does not
    recover from an error, is disabled until the next start.
    """

    def __init__(self, folder: Path, accelerator: Accelerator, step: int) -> None:
        self._path = folder / "metrics.jsonl"
        self._accelerator = accelerator
        self._waiting: list[str] = []  # lines not yet written
        self._board = True
        if accelerator.is_main_process and self._path.exists():
            # A resumed run repeats the steps after its checkpoint: their lines are removed, and so
            # is an incomplete last one.
            *lines, _ = self._path.read_text().split("\n")
            earlier = [line for line in lines if json.loads(line)["step"] <= step]
            write_file(self._path, "".join(f"{line}\n" for line in earlier))
        options = {"tensorboard": {"purge_step": step + 1}}
        accelerator.init_trackers("tensorboard", init_kwargs=options)

    def write(self, step: int, values: dict[str, float]) -> None:
        """Log values by name after `step` steps."""
        self._to_board(lambda: self._accelerator.log(values, step=step))
        self.note(step, values)

    def note(self, step: int, values: Mapping[str, Any]) -> None:
        """Write a line to metrics.jsonl only."""
        if self._accelerator.is_main_process:
            self._waiting.append(json.dumps({"step": step, **values}) + "\n")
            with warn_if_unwritable(f"a line of {self._path}"):
                append(self._path, "".join(self._waiting))
                self._waiting = []

    def image(self, step: int, name: str, image: np.ndarray) -> None:
        """Log a uint8 image, gray [H, W] or color [H, W, 3]."""
        if self._accelerator.is_main_process:
            images = {name: image.reshape(1, *image.shape[:2], -1)}
            board = self._accelerator.get_tracker("tensorboard")
            self._to_board(lambda: board.log_images(images, step=step, dataformats="NHWC"))

    def _to_board(self, write: Callable[[], None]) -> None:
        """Write to TensorBoard, unless the disk is nearly full or has been."""
        self._board &= shutil.disk_usage(self._path.parent).free > BOARD_BYTES
        if self._board:
            self._board = False
            with warn_if_unwritable("TensorBoard's log"):
                write()
                self._board = True


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
