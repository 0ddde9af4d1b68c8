"""Checkpoint saver that survives a full disk, and warnings for other files."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from roentgen.errors import InputError
from train.checkpoints.checkpoint import TrainingState, save_checkpoint

SECONDS_TO_RETRY = 60.0  # for the user to make room for the last checkpoint


class CheckpointSaver:
    """Saves checkpoints; a failure to save is reported and training continues."""

    def __init__(
        self, folder: Path, identity: dict[str, Any], keep: int, accelerator: Accelerator
    ) -> None:
        self.failed = 0  # number of checkpoints that could not be saved
        self._folder = folder
        self._identity = identity  # what a checkpoint must agree with to be resumed from
        self._keep = keep
        self._accelerator = accelerator

    def save(self, state: TrainingState, *, required: bool) -> bool:
        """Save a checkpoint; returns whether it succeeded. All processes must call it.

        A `required` one, after which the run ends, is tried twice; raises InputError if it fails.
        """
        reason = self._try(state)
        if reason and required:
            self._warn(f"{reason}; trying again in {SECONDS_TO_RETRY:g} s")
            time.sleep(SECONDS_TO_RETRY)
            reason = self._try(state)
        if not reason:
            return True
        self.failed += 1
        if required:
            raise InputError(
                f"{reason}: make room and start again with resume=true; earlier checkpoints are "
                "intact"
            )
        self._warn(f"{reason}; training continues, earlier checkpoints are intact")
        return False

    def _try(self, state: TrainingState) -> str | None:
        """Save a checkpoint; returns the reason of a failure, the same on all processes."""
        reason = None
        main = self._accelerator.is_main_process
        try:
            save_checkpoint(self._folder, state, self._identity, self._keep, main=main)
        except (OSError, InputError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            reason = f"step {state.step} could not be saved ({why})"
        answer: list[str | None] = broadcast_object_list([reason])
        return answer[0]

    def _warn(self, line: str) -> None:
        if self._accelerator.is_main_process:
            print(f"warning: {line}", flush=True)  # noqa: T201


@contextmanager
def warn_if_unwritable(what: str) -> Iterator[None]:
    """Within, a failure to write is reported as a warning instead of ending the run."""
    try:
        yield
    except OSError as error:
        print(f"warning: {what} could not be written ({error.strerror})", flush=True)  # noqa: T201
