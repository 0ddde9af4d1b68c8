"""How much memory is in use: of a GPU by tensors, on the CPU by this process."""

import resource
from pathlib import Path

import torch

PROCESS = Path("/proc/self")


def peak(device: torch.device) -> int:
    """The most bytes so far."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return _status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def in_use(device: torch.device) -> int:
    """Bytes now; where the system does not tell it, the most so far."""
    if device.type == "cuda":
        return int(torch.cuda.memory_allocated(device))
    return _status("VmRSS") or peak(device)


def forget_peak(device: torch.device) -> None:
    """Let `peak` count from now on, where the system can."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif (PROCESS / "clear_refs").exists():
        (PROCESS / "clear_refs").write_text("5")


def _status(name: str) -> int | None:
    """An entry of Linux's /proc/self/status, in bytes."""
    path = PROCESS / "status"
    if not path.exists():
        return None
    for line in path.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return None
