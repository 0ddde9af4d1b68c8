"""SIGTERM and SIGUSR1, by which batch systems announce that a job will be taken off its machine.

A run that is asked to stop so finishes its step, saves a checkpoint and ends with an exit code of
its own; before the first step it ends at once. Started again with resume=true it goes on where it
was. Launchers make every exit code a 1, so a file in the run folder says it too.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self

import torch
import torch.distributed as dist

from roentgen.storage import write_json

if TYPE_CHECKING:
    from accelerate import Accelerator

STOPPED = os.EX_TEMPFAIL  # 75, of sysexits.h: no failure; try again
MARKER = "stopped.json"  # in the run folder until it is resumed
SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class StoppedError(BaseException):
    """The run ends because it was asked to; no `except Exception` is meant to catch it."""


class Stop:
    """Listens to the signals; all processes agree after which step they heeded one.

    As a context: within, the signals are listened to; a StoppedError ends the program.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._heard: str | None = None  # a signal's name
        self._patient = False
        self._told = False

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._hear) for number in SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, StoppedError) and not self._told and _is_main():
            self.tell(None)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if isinstance(error, StoppedError):
            raise SystemExit(STOPPED) from None

    def _hear(self, number: int, _: FrameType | None) -> None:
        if self._heard is None:  # later ones change nothing
            self._heard = signal.Signals(number).name
            if not self._patient:
                raise StoppedError

    @contextmanager
    def patient(self) -> Iterator["Agreement"]:
        """Within, a signal waits to be asked about after each step."""
        self._patient = True
        if self._heard:  # where Python could not raise, in a destructor for example
            raise StoppedError
        agreement = Agreement()
        yield agreement
        agreement.close()  # not after an error: others may be gone
        self._patient = False

    @property
    def heard(self) -> bool:
        """Whether this process has had a signal."""
        return self._heard is not None

    def end(self, step: int, accelerator: "Accelerator") -> NoReturn:
        """End the run, which is saved after `step` steps. All processes must call it."""
        if accelerator.is_main_process:
            self.tell(step)
        accelerator.wait_for_everyone()  # a launcher ends all when the first one ends
        self._told = True
        accelerator.end_training()
        raise StoppedError

    def tell(self, step: int | None) -> None:
        """Say so on the terminal and in the run folder. For the main process."""
        where = "before the first step" if step is None else f"saved after step {step}"
        by = self._heard or "a signal to another process"
        print(f"stopped by {by}, {where}: resume with resume=true", flush=True)  # noqa: T201
        if self._folder.is_dir():
            told = {"step": step, "signal": self._heard, "exit_code": STOPPED}
            write_json(self._folder / MARKER, told)


class Agreement:
    """Whether any process wants something, known to all one step later.

    A byte is exchanged between the CPUs while the next step runs: nobody waits for a device, nor
    for the slowest process.
    """

    def __init__(self) -> None:
        alone = not dist.is_initialized() or dist.get_world_size() == 1
        self._group: Any = None if alone else dist.new_group(backend="gloo")
        self._wanted = torch.zeros(1, dtype=torch.uint8)
        self._exchange: dist.Work | None = None

    def reached(self, wanted: bool) -> bool:
        """What was wanted by any process at the last call, or by the only one now.

        All processes must call it equally often.
        """
        if self._group is None:
            return wanted
        agreed = self.close()
        self._wanted.fill_(wanted)
        self._exchange = dist.all_reduce(
            self._wanted, dist.ReduceOp.MAX, self._group, async_op=True
        )
        return agreed

    def close(self) -> bool:
        """Wait for the exchange under way."""
        if self._exchange is None:
            return False
        self._exchange.wait()
        self._exchange = None
        return bool(self._wanted.item())


def _is_main() -> bool:
    return os.environ.get("RANK", "0") == "0"
