"""The tracker of a run: TensorBoard or another of accelerate's, beside the run's own files."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator

from roentgen.config import config_to_dict, config_to_yaml
from roentgen.errors import InputError
from roentgen.storage import write_json
from roentgen.untrusted_files import read_json
from train.config import RunConfig

BOARD_BYTES = 2**22  # free disk space below which the tracker is disabled
RECORD = "tracker.json"  # in the run folder: the run of the tracker that a resumed run continues
_PROJECT = "roentgen"


class RunTracker:
    """Logs to the configured tracker, if there is one, on the main process.

    A resumed run continues its TensorBoard log, its run of wandb and its run of MLflow, in which
    each point is once; of the others it begins a new run. A tracker that fails is disabled until
    the next start, with a warning: training continues.
    """

    def __init__(
        self, config: RunConfig, accelerator: Accelerator, step: int, logged: set[tuple[int, str]]
    ) -> None:
        """`logged` are the points, by step and name, that an earlier run logged after `step`."""
        self._name, self._folder, self._accelerator = config.tracker, config.output, accelerator
        # TensorBoard hides them (purge_step), and wandb accepts no earlier step than its last.
        self._logged = logged if config.tracker == "mlflow" else set()
        self._works = config.tracker is not None and accelerator.is_main_process
        earlier = self._earlier_run()
        is_board = self._name == "tensorboard"
        settings = None if earlier or is_board else dict(_flat(config_to_dict(config)))
        try:
            accelerator.init_trackers(
                "tensorboard" if is_board else _PROJECT,
                config=settings,
                init_kwargs={str(self._name): self._options(earlier, step)},
            )
            self._record_run()
        except Exception as error:  # each tracker has its own, of settings, network and disk
            reason = " ".join(str(error).split())
            raise InputError(f"tracker {self._name!r} cannot start: {reason}") from error
        if is_board:
            text = f"```yaml\n{config_to_yaml(config)}\n```"
            self._guard(lambda: accelerator.log({"configuration": text}, step=step + 1))

    def log(self, step: int, groups: Mapping[str, Mapping[str, float]]) -> None:
        """Log numbers as "group/name"."""
        values = {
            f"{group}/{name}": value
            for group, named in groups.items()
            for name, value in named.items()
            if (step, name) not in self._logged
        }
        if values:
            self._guard(lambda: self._accelerator.log(values, step=step))

    def image(self, step: int, name: str, image: np.ndarray, file: Path) -> None:
        """Log a uint8 image, gray [H, W] or color [H, W, 3], that is in a file too."""

        def write() -> None:
            tracker = self._accelerator.get_tracker(str(self._name))
            images = {name: image.reshape(1, *image.shape[:2], -1)}
            if self._name == "tensorboard":
                tracker.log_images(images, step=step, dataformats="NHWC")
            elif hasattr(tracker, "log_images"):
                tracker.log_images(images, step=step)
            elif hasattr(tracker, "log_artifact"):
                tracker.log_artifact(str(file), "previews")

        self._guard(write)

    def _guard(self, write: Callable[[], None]) -> None:
        """Write, unless the disk is nearly full or writing has failed."""
        self._works &= shutil.disk_usage(self._folder).free > BOARD_BYTES
        if self._works:
            try:
                write()
            except Exception as error:
                self._works = False
                reason = " ".join(str(error).split())
                print(  # noqa: T201
                    f"warning: tracker {self._name} is disabled until the next start ({reason})",
                    flush=True,
                )

    def _earlier_run(self) -> str | None:
        path = self._folder / RECORD
        record = read_json(path) if path.exists() else {}
        return record.get("run") if record.get("tracker") == self._name else None

    def _options(self, earlier: str | None, step: int) -> dict[str, Any]:
        name = self._folder.resolve().name
        match self._name:
            case "tensorboard":
                return {"purge_step": step + 1}
            case "wandb":
                return {"dir": self._folder, "name": name, "id": earlier, "resume": "allow"}
            case "mlflow":
                return {"run_id": earlier, "run_name": name}
        return {}

    def _record_run(self) -> None:
        """Record which run of wandb or MLflow this is."""
        if not self._works or self._name not in ("wandb", "mlflow"):
            return
        run: Any = self._accelerator.get_tracker(self._name, unwrap=True)
        number = run.id if self._name == "wandb" else run.info.run_id
        write_json(self._folder / RECORD, {"tracker": self._name, "run": number})


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Settings as "section.key" with plain values; lists and null are text."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value if isinstance(value, str | int | float) else str(value)
