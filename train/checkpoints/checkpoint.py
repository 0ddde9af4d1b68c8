"""Checkpoints: the exact training state on disk, written atomically, without pickle.

A checkpoint is a folder `step-00000500`: weights, averages and optimizer in safetensors, and
`checkpoint.json`, written last, with the checksums of the other files and all plain numbers.
"""

import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from safetensors import safe_open
from torch import Tensor
from torch.optim import Optimizer

from roentgen.checksums import read_checked_json, write_checked_json
from roentgen.chunk_checksums import find_chunk_damage
from roentgen.diffusion.denoiser import Denoiser
from roentgen.errors import InputError
from roentgen.storage import atomic_folder, discard_folder
from train.engine.fsdp import copy_into, gather_full
from train.optim.ema import Ema, PosthocEma
from train.optim.nonfinite import SkipCounts
from train.optim.optimizer import load_optimizer_state, optimizer_state
from train.tensor_file import (
    FileLayout,
    bytes_of,
    in_file_order,
    layout_of,
    write_tensors,
)

MANIFEST = "checkpoint.json"
SPARE_BYTES = 2**24  # beside the tensors: headers, the manifest, the log


@dataclass(kw_only=True)
class TrainingState:
    """Everything that training changes."""

    denoiser: Denoiser
    optimizer: Optimizer
    ema: Ema | None
    posthoc: PosthocEma | None = None
    scaler: Any  # torch.amp.GradScaler in fp16, else None
    skips: SkipCounts = field(default_factory=SkipCounts)
    step: int = 0  # steps done

    def named(self) -> dict[str, dict[str, Tensor]]:
        """Weights and averages by the names of their files."""
        return {
            "weights": dict(self.denoiser.trained()),
            **({"ema": self.ema.weights} if self.ema else {}),
            **(self.posthoc.named() if self.posthoc else {}),
        }


def save_checkpoint(
    folder: Path, state: TrainingState, identity: dict[str, Any], keep: int, *, main: bool = True
) -> None:
    """Write a checkpoint below `folder`, then remove all but the newest `keep`.

    All processes call it, as shards are gathered; the main one writes. Raises OSError, on the main
    process alone, if the disk has no room; older checkpoints are then untouched.
    """
    tensors, numbers = optimizer_state(state.denoiser, state.optimizer)
    groups = {**state.named(), "optimizer": tensors}
    layouts = {name: in_file_order(layout_of(group)) for name, group in groups.items()}
    whole = (gather_full(groups[name][key].detach()) for name in layouts for key in layouts[name])
    manifest = {
        "step": state.step,
        "threads": torch.get_num_threads(),
        "identity": identity,
        "optimizer_name": type(state.optimizer).__name__,
        "optimizer": numbers,
        "scaler": state.scaler.state_dict() if state.scaler else None,
        "skips": asdict(state.skips),
    }
    try:
        if main:
            _write(folder / f"step-{state.step:08d}", layouts, whole, manifest)
            prune_checkpoints(folder, state.step, keep)
    finally:
        for _ in whole:  # the other processes continue to gather, even if writing failed
            pass


def _write(
    path: Path, layouts: Mapping[str, FileLayout], whole: Iterator[Tensor], manifest: dict[str, Any]
) -> None:
    """Write a checkpoint atomically, of tensors that come in the layouts' order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove(path)  # it is damaged, or training would have resumed from it
    needed = sum(bytes_of(layout) for layout in layouts.values()) + SPARE_BYTES
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        room = f"{free / 1e9:.2f} GB free, {needed / 1e9:.2f} GB needed"
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}: {room}", str(path.parent))
    with atomic_folder(path) as partial:
        files = {}
        for name, layout in layouts.items():
            file = partial / f"{name}.safetensors"
            files[file.name] = write_tensors(file, layout, islice(whole, len(layout)))
        write_checked_json(partial / MANIFEST, manifest | {"files": files})


def prune_checkpoints(folder: Path, step: int, keep: int) -> None:
    """Remove all but the newest `keep` up to a step; later ones are damaged."""
    for old in [path for path in _folders(folder) if _step(path) <= step][:-keep]:
        _remove(old)


def _remove(path: Path) -> None:
    """Remove a checkpoint atomically: an interruption leaves no damaged one."""
    if path.exists():
        discard_folder(path, path)


def _folders(folder: Path) -> list[Path]:
    """Folders of checkpoints, oldest first; temporary ones have other names."""
    found = [path for path in folder.glob("step-*") if path.name[5:].isdigit()]
    return sorted(found, key=_step)


def _step(path: Path) -> int:
    return int(path.name[5:])


def any_checkpoint(folder: Path) -> bool:
    """Whether there are checkpoints, intact or damaged."""
    return bool(_folders(folder))


def newest_checkpoint(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """The newest intact checkpoint and its manifest; None if there is none.

    All processes call it, and each verifies the checksums of a share of the bytes. Damaged
    checkpoints are reported and skipped.
    """
    processes = PartialState()
    for path in reversed(_folders(folder)):
        manifest, wrong = _read_manifest(path)
        if not wrong:
            share = processes.process_index, processes.num_processes
            wrong = gather_object(find_chunk_damage(path, manifest["files"], *share))
        if not wrong:
            return path, manifest
        if processes.is_main_process:
            what = "; ".join(dict.fromkeys(wrong))
            print(f"checkpoint {path} is damaged and skipped: {what}")  # noqa: T201
    return None


def _read_manifest(path: Path) -> tuple[dict[str, Any], list[str]]:
    """A checkpoint's manifest and descriptions of its damage."""
    try:
        return read_checked_json(path / MANIFEST), []
    except OSError as error:
        return {}, [f"{MANIFEST}: {error.strerror}"]
    except InputError:
        return {}, [f"{MANIFEST} has changed since it was written"]


def load_checkpoint(path: Path, manifest: dict[str, Any], state: TrainingState) -> None:
    """Load a saved state. Raises InputError if it is of other networks or another optimizer."""
    optimizer = type(state.optimizer).__name__
    saved = manifest["optimizer_name"]
    if saved != optimizer:
        raise InputError(
            f"checkpoint {path} is of optimizer {saved}, not {optimizer}: restore optimizer.name, "
            "or choose another output"
        )
    for name, targets in state.named().items():
        if f"{name}.safetensors" not in manifest["files"]:
            raise InputError(
                f"checkpoint {path} has no average {name!r}: restore the section ema, or start over"
            )
        stored = _LazyTensors(path / f"{name}.safetensors")
        odd = sorted(key for key, _ in layout_of(stored).items() ^ layout_of(targets).items())
        if odd:
            raise InputError(
                f"checkpoint {path} has other weights than are trained now ({odd[0]} is the "
                "first that differs): restore base and learning_rate, or choose another output"
            )
        for key, tensor in stored.items():
            copy_into(targets[key], tensor)
    tensors = _LazyTensors(path / "optimizer.safetensors")
    load_optimizer_state(state.denoiser, state.optimizer, tensors, manifest["optimizer"])
    state.skips = SkipCounts(**manifest["skips"])
    if state.scaler and manifest["scaler"]:
        state.scaler.load_state_dict(manifest["scaler"])
    state.step = manifest["step"]


class _LazyTensors(Mapping[str, Tensor]):
    """The tensors of a file, each read on access."""

    def __init__(self, path: Path) -> None:
        self._file: Any = safe_open(path, framework="pt")  # mapped
        self._names: list[str] = self._file.keys()  # type: ignore[no-untyped-call]

    def __getitem__(self, name: str) -> Tensor:
        tensor: Tensor = self._file.get_tensor(name)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
