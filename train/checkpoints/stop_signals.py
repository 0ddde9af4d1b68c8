"""Stop signals: SIGTERM and SIGUSR1, by which batch systems announce the end of a job.

A run that receives one finishes its step, saves a checkpoint and ends with an exit code of its own;
before the first step it ends at once. With resume=true it resumes from there. Launchers turn every
exit code into 1, so a file in the run folder records the stop too.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NoReturn, Self

import torch
import torch.distributed as dist
from accelerate import Accelerator

from roentgen.distributed import this_launch
from roentgen.storage import write_json

STOPPED = os.EX_TEMPFAIL  # 75, of sysexits.h: temporary, try again
MARKER = "stopped.json"  # in the run folder until it is resumed
SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class StoppedError(BaseException):
    """The run ends because of a signal; not an Exception, so that no handler catches it."""


class StopSignals:
    """Handlers of the stop signals; all processes stop after the same step.

    As a context: within, the handlers are installed; a StoppedError ends the program.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._received: str | None = None  # a signal's name
        self._deferred = False
        self._reported = False

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._receive) for number in SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, StoppedError) and not self._reported and this_launch().is_main_process:
            self._report(None)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if isinstance(error, StoppedError):
            raise SystemExit(STOPPED) from None

    def _receive(self, number: int, _: FrameType | None) -> None:
        if self._received is None:  # later ones change nothing
            self._received = signal.Signals(number).name
            if not self._deferred:
                raise StoppedError

    @contextmanager
    def deferred(self) -> Iterator["StopFlag"]:
        """Within, a signal takes effect only where the flag is exchanged, after each step."""
        self._deferred = True
        if self._received:  # where Python could not raise, in a destructor for example
            raise StoppedError
        stop_flag = StopFlag()
        yield stop_flag
        stop_flag.close()  # not after an error: others may be gone
        self._deferred = False

    @property
    def received(self) -> bool:
        """Whether this process has received a signal."""
        return self._received is not None

    def end(self, step: int, accelerator: Accelerator) -> NoReturn:
        """End the run, which was saved after `step` steps. All processes must call it."""
        if accelerator.is_main_process:
            self._report(step)
        accelerator.wait_for_everyone()  # a launcher ends all when the first one ends
        self._reported = True
        accelerator.end_training()
        raise StoppedError

    def _report(self, step: int | None) -> None:
        """Report the stop on the terminal and in the run folder; for the main process."""
        where = "before the first step" if step is None else f"saved after step {step}"
        by = self._received or "a signal to another process"
        print(f"stopped by {by}, {where}: resume with resume=true", flush=True)  # noqa: T201
        if self._folder.is_dir():
            stopped = {"step": step, "signal": self._received, "exit_code": STOPPED}
            write_json(self._folder / MARKER, stopped)


class StopFlag:
    """Whether any process wants to stop, known to all processes one step later.

    A byte is exchanged between the CPUs while the next step runs: no process waits for a device or
    for the slowest process.
    """

    def __init__(self) -> None:
        alone = not dist.is_initialized() or dist.get_world_size() == 1
        self._group: Any = None if alone else dist.new_group(backend="gloo")
        self._wanted = torch.zeros(1, dtype=torch.uint8)
        self._exchange: dist.Work | None = None

    def exchange(self, wanted: bool) -> bool:
        """Whether any process wanted to stop at the last call; of a single process, at this one.

        All processes must call it equally often.
        """
        if self._group is None:
            return wanted
        reached = self.close()
        self._wanted.fill_(wanted)
        self._exchange = dist.all_reduce(
            self._wanted, dist.ReduceOp.MAX, self._group, async_op=True
        )
        return reached

    def close(self) -> bool:
        """Wait for the pending exchange; returns its result."""
        if self._exchange is None:
            return False
        self._exchange.wait()
        self._exchange = None
        return bool(self._wanted.item())
