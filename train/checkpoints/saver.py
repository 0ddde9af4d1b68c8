"""Writing while training: a full disk costs a checkpoint, not the run."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelerate.utils import broadcast_object_list

from roentgen.errors import InputError
from train.checkpoints.checkpoint import State, save_checkpoint

if TYPE_CHECKING:
    from accelerate import Accelerator

SECONDS_TO_RETRY = 60.0  # in which somebody may make room for the last checkpoint


class Saver:
    """Saves checkpoints, and survives where it cannot."""

    def __init__(
        self, folder: Path, identity: dict[str, Any], keep: int, accelerator: "Accelerator"
    ) -> None:
        self.failed = 0  # checkpoints that could not be saved
        self._folder = folder
        self._identity = identity  # what a checkpoint must agree with to be resumed from
        self._keep = keep
        self._accelerator = accelerator

    def save(self, state: State, *, needed: bool) -> bool:
        """Save a checkpoint; whether that went well. All processes must call it.

        One that is `needed`, as nothing comes after it, is tried twice; an InputError tells that it
        failed all the same.
        """
        reason = self._try(state)
        if reason and needed:
            self._say(f"{reason}; trying again in {SECONDS_TO_RETRY:g} s")
            time.sleep(SECONDS_TO_RETRY)
            reason = self._try(state)
        if not reason:
            return True
        self.failed += 1
        if needed:
            raise InputError(
                f"{reason}: make room and start again with resume=true; the checkpoints before are "
                "whole"
            )
        self._say(f"{reason}; training goes on, the checkpoints before are whole")
        return False

    def _try(self, state: State) -> str | None:
        """Save a checkpoint, or say why that failed; all processes get the same answer."""
        reason = None
        main = self._accelerator.is_main_process
        try:
            save_checkpoint(self._folder, state, self._identity, self._keep, main=main)
        except (OSError, InputError) as error:
            told = error.strerror if isinstance(error, OSError) else str(error)
            reason = f"step {state.step} could not be saved ({told})"
        answer: list[str | None] = broadcast_object_list([reason])
        return answer[0]

    def _say(self, line: str) -> None:
        if self._accelerator.is_main_process:
            print(f"warning: {line}", flush=True)  # noqa: T201


@contextmanager
def tolerated(what: str) -> Iterator[None]:
    """Within, what the disk has no room for is told and left out."""
    try:
        yield
    except OSError as error:
        print(f"warning: {what} could not be written ({error.strerror})", flush=True)  # noqa: T201
