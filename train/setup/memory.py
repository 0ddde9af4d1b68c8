"""Memory use: of tensors on a GPU, of the process on the CPU."""

import resource
from pathlib import Path

import torch

PROCESS = Path("/proc/self")


def peak(device: torch.device) -> int:
    """Peak bytes."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return _status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def in_use(device: torch.device) -> int:
    """Current bytes; the peak if the system does not report them."""
    if device.type == "cuda":
        return int(torch.cuda.memory_allocated(device))
    return _status("VmRSS") or peak(device)


def reset_peak(device: torch.device) -> None:
    """Reset `peak`, if the system can."""
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
