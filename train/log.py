"""The log of a run: a line of JSON a report, and the same numbers to accelerate's trackers."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from roentgen.runs import write_file

if TYPE_CHECKING:
    from accelerate import Accelerator


class RunLog:
    """Appends to metrics.jsonl on the main process, and to TensorBoard below the run folder."""

    def __init__(self, folder: Path, accelerator: "Accelerator", step: int) -> None:
        self._path = folder / "metrics.jsonl"
        self._accelerator = accelerator
        if accelerator.is_main_process and self._path.exists():
            # A resumed run repeats the steps after its checkpoint: their lines go, and so does the
            # last one if a kill tore it.
            *lines, _ = self._path.read_text().split("\n")
            kept = [line for line in lines if json.loads(line)["step"] <= step]
            write_file(self._path, "".join(f"{line}\n" for line in kept))
        options = {"tensorboard": {"purge_step": step + 1}}
        accelerator.init_trackers("tensorboard", init_kwargs=options)

    def write(self, step: int, values: dict[str, float]) -> None:
        """Log values by name after `step` steps."""
        self._accelerator.log(values, step=step)
        if self._accelerator.is_main_process:
            with self._path.open("a") as file:
                file.write(json.dumps({"step": step, **values}) + "\n")

    def image(self, step: int, name: str, image: np.ndarray) -> None:
        """Log a gray uint8 [H, W] picture."""
        if self._accelerator.is_main_process:
            tracker = self._accelerator.get_tracker("tensorboard")
            tracker.log_images({name: image[None, :, :, None]}, step=step, dataformats="NHWC")
