"""The state of training on disk: whole or not there, exact, without pickle.

A checkpoint is a folder `step-00000500`: weights, average and optimizer in safetensors, and
`checkpoint.json`, written last, with the sizes of the others and all plain numbers.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.optim import Optimizer

from roentgen.errors import InputError
from roentgen.runs import whole_folder, write_json
from train.denoiser import Denoiser
from train.ema import Ema
from train.optimizer import load_optimizer_state, optimizer_state

MANIFEST = "checkpoint.json"


@dataclass(kw_only=True)
class State:
    """All that training changes."""

    denoiser: Denoiser
    optimizer: Optimizer
    ema: Ema | None
    scaler: Any  # torch.amp.GradScaler in fp16, else None
    step: int = 0  # steps done


def save_checkpoint(folder: Path, state: State, identity: dict[str, Any], keep: int) -> Path:
    """Write a checkpoint below `folder`, then remove all but the newest `keep`."""
    path = folder / f"step-{state.step:08d}"
    tensors, numbers = optimizer_state(state.denoiser, state.optimizer)
    groups: dict[str, dict[str, Tensor]] = {
        "weights": dict(state.denoiser.trained()),
        "optimizer": tensors,
        **({"ema": state.ema.weights} if state.ema else {}),
    }
    if path.exists():  # damaged, or training would have gone on from it
        shutil.rmtree(path)
    with whole_folder(path) as partial:
        sizes = {}
        for name, group in groups.items():
            file = partial / f"{name}.safetensors"
            save_file({key: value.detach().contiguous() for key, value in group.items()}, file)
            sizes[file.name] = file.stat().st_size
        manifest = {
            "step": state.step,
            "identity": identity,
            "files": sizes,
            "optimizer_name": type(state.optimizer).__name__,
            "optimizer": numbers,
            "scaler": state.scaler.state_dict() if state.scaler else None,
        }
        write_json(partial / MANIFEST, manifest)
    earlier = [old for old in _folders(folder) if old.name <= path.name]  # later: damaged ones
    for old in earlier[:-keep]:
        shutil.rmtree(old)
    return path


def _folders(folder: Path) -> list[Path]:
    """All checkpoints, oldest first; temporary ones have other names."""
    return sorted(path for path in folder.glob("step-*") if path.name[5:].isdigit())


def newest_checkpoint(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """The newest whole checkpoint and its manifest; None if there is none."""
    for path in reversed(_folders(folder)):
        try:
            manifest: dict[str, Any] = json.loads((path / MANIFEST).read_text())
            sizes = {name: (path / name).stat().st_size for name in manifest["files"]}
        except (OSError, ValueError, KeyError):
            continue
        if sizes == manifest["files"]:
            return path, manifest
    return None


def load_checkpoint(path: Path, manifest: dict[str, Any], state: State) -> None:
    """Take up a saved state. Raises InputError if it is of other nets or another optimizer."""
    weights = _read(path / "weights.safetensors")
    found = {name: weight.shape for name, weight in weights.items()}
    wanted = {name: weight.shape for name, weight in state.denoiser.trained()}
    if found != wanted:
        odd = sorted(name for name, _ in found.items() ^ wanted.items())
        raise InputError(
            f"checkpoint {path} holds other weights than are trained now ({odd[0]} is the first "
            "that differs): restore base and learning_rate, or choose another output"
        )
    optimizer = type(state.optimizer).__name__
    saved = manifest.get("optimizer_name", optimizer)
    if saved != optimizer:
        raise InputError(
            f"checkpoint {path} is of optimizer {saved}, not {optimizer}: restore optimizer.name, "
            "or choose another output"
        )
    state.denoiser.load(weights)
    tensors = _read(path / "optimizer.safetensors")
    load_optimizer_state(state.denoiser, state.optimizer, tensors, manifest["optimizer"])
    if state.ema:
        if "ema.safetensors" not in manifest["files"]:
            raise InputError(f"checkpoint {path} has no average: set ema to null, or begin anew")
        state.ema.load(_read(path / "ema.safetensors"))
    if state.scaler and manifest["scaler"]:
        state.scaler.load_state_dict(manifest["scaler"])
    state.step = manifest["step"]


def _read(path: Path) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except SafetensorError as error:
        raise InputError(f"{path} is damaged ({error}): remove {path.parent}") from None
    return tensors


def differences(old: Any, new: Any, key: str = "") -> list[str]:
    """What differs between two nested dicts, as `section.key: old -> new`."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            line
            for name in sorted(old.keys() | new.keys())
            for line in differences(
                old.get(name), new.get(name), f"{key}.{name}" if key else str(name)
            )
        ]
    return [] if old == new else [f"{key}: {old} -> {new}"]
