"""The processes of a launch: accelerate's, torchrun's or MPI's, on one machine or many."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from roentgen.errors import InputError


@dataclass(frozen=True)
class Launch:
    """Which of a launch's processes this is; alone it is the first of one."""

    rank: int = 0
    ranks: int = 1
    here: int = 1  # of them on this machine
    place: int = 0  # of this one among those

    def cores(self) -> int:
        """Processor cores for this process: its share of the machine, or what it was given."""
        allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
        share = (os.cpu_count() or 1) // self.here
        return max(1, min(share, allowed or share))


def this_launch() -> Launch:
    """As torchrun tells it, or as MPI does, which accelerate launches CPU clusters with."""
    return Launch(
        rank=_number("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK", unset=0),
        ranks=_number(
            "WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE", unset=1
        ),
        here=_number(
            "LOCAL_WORLD_SIZE",
            "MPI_LOCALNRANKS",
            "OMPI_COMM_WORLD_LOCAL_SIZE",
            "MV2_COMM_WORLD_LOCAL_SIZE",
            unset=1,
        ),
        place=_number(
            "LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_RANK", unset=0
        ),
    )


def _number(*names: str, unset: int) -> int:
    return next((int(os.environ[name]) for name in names if os.environ.get(name)), unset)


def meet() -> None:
    """Wait until all processes of a launch have planned and the first has opened the work folder.

    From then on they meet in its files only, so that one that lags or dies holds up nobody. Raises
    InputError if one has ended before.
    """
    from accelerate import PartialState

    # Python's own handlers would wait for the others too.
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        PartialState(cpu=True).wait_for_everyone()
    except (RuntimeError, ValueError) as error:
        why = str(error).strip().partition("\n")[0]
        raise InputError(
            f"the processes of this launch did not meet ({why}): one has ended, or they cannot "
            "reach each other; start all of them again"
        ) from None
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def ended_like_ctrl_c() -> Iterator[None]:
    """Let SIGTERM, by which schedulers and launchers end a process, be a KeyboardInterrupt."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
