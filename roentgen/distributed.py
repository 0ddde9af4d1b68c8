"""Processes of a launch: accelerate's, torchrun's or MPI's, on one machine or many."""

import os
import signal
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from roentgen.errors import InputError

if TYPE_CHECKING:
    import torch


class Processes(Protocol):
    """The processes that share work, seen from one of them: a `Launch` or accelerate's own."""

    @property
    def process_index(self) -> int:
        """Number of this process, from 0."""

    @property
    def num_processes(self) -> int:
        """How many there are."""

    @property
    def is_main_process(self) -> bool:
        """Whether this is the first of all."""

    @property
    def is_local_main_process(self) -> bool:
        """Whether this is the first on its machine."""

    def wait_for_everyone(self) -> None:
        """Return when every process has called it as often."""


@dataclass(frozen=True)
class Launch:
    """The processes of a launch, seen from one of them; by default a single process."""

    process_index: int = 0
    num_processes: int = 1
    local_process_index: int = 0  # among those on this machine
    local_num_processes: int = 1

    @property
    def is_main_process(self) -> bool:
        """See `Processes`."""
        return self.process_index == 0

    @property
    def is_local_main_process(self) -> bool:
        """See `Processes`."""
        return self.local_process_index == 0

    def cores(self) -> int:
        """Processor cores for this process: its share of the machine, or what it was given."""
        allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
        share = (os.cpu_count() or 1) // self.local_num_processes
        return max(1, min(share, allowed or share))

    def device(self) -> "torch.device":
        """The machine's accelerator, a different one for each process as far as there are any."""
        import torch

        kind = torch.accelerator.current_accelerator(check_available=True)
        if kind is None:
            return torch.device("cpu")
        index = self.local_process_index % torch.accelerator.device_count()
        return torch.device(kind.type, index)

    def wait_for_everyone(self, timeout: timedelta = timedelta(minutes=30)) -> None:
        """See `Processes`; the first call of a program sets the timeout.

        Raises InputError if a process has ended or cannot be reached. SIGTERM ends the wait.
        """
        if self.num_processes == 1:
            return
        from accelerate import PartialState

        # Python's own handlers would wait for the others too.
        before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
        try:
            PartialState(cpu=True, timeout=timeout).wait_for_everyone()
        except (RuntimeError, ValueError) as error:
            why = str(error).strip().partition("\n")[0]
            raise InputError(
                f"the processes of this launch did not meet ({why}): one has ended, or they cannot "
                "reach each other; start all of them again"
            ) from None
        finally:
            signal.signal(signal.SIGTERM, before)


SINGLE_PROCESS = Launch()


def this_launch() -> Launch:
    """The launch of this process, from the environment that torchrun or MPI sets.

    accelerate starts its processes through one of the two.
    """
    return Launch(
        process_index=_number(
            "RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK", default=0
        ),
        num_processes=_number(
            "WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE", default=1
        ),
        local_process_index=_number(
            "LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_RANK", default=0
        ),
        local_num_processes=_number(
            "LOCAL_WORLD_SIZE",
            "MPI_LOCALNRANKS",
            "OMPI_COMM_WORLD_LOCAL_SIZE",
            "MV2_COMM_WORLD_LOCAL_SIZE",
            default=1,
        ),
    )


def _number(*names: str, default: int) -> int:
    return next((int(os.environ[name]) for name in names if os.environ.get(name)), default)
