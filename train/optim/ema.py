"""Averages of the trained weights: EMA, and post-hoc EMA whose width is chosen after training.

Post-hoc EMA (Karras et al. 2024, sec. 3; arXiv 2312.02696): a power-function average weights the
parameters at time s by s^gamma. Two of them, of fixed widths, are updated during training and saved
as snapshots; an average of any other width is a combination of the snapshots, found by least
squares between the profiles.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from roentgen.checksums import read_checked_json, write_checked_json
from roentgen.chunk_checksums import FileRecord, find_chunk_damage
from roentgen.diffusion.denoiser import Denoiser
from roentgen.errors import InputError
from roentgen.storage import atomic_folder, discard_folder
from train.engine.fsdp import gather_full
from train.tensor_file import (
    FileLayout,
    in_file_order,
    layout_of,
    write_tensors,
)

MANIFEST = "average.json"


def decay_at(step: int, decay: float, start: int = 0) -> float:
    """The decay at a step counted from 0, with TensorFlow's warm-up after `start`.

    It is a function of the step alone, so that a resumed run has the same.
    """
    n = step - start
    return 0.0 if n < 0 else min(decay, (1 + n) / (10 + n))


@torch.no_grad()
def lerp_all(averages: Iterable[Tensor], weights: Iterable[Tensor], share: Tensor) -> None:
    """In place averages += share (weights - averages); `share` is a float32 scalar."""
    for average, weight in zip(averages, weights, strict=True):
        average.lerp_(weight.detach().float(), share)


class Ema:
    """The averaged weights by name, float32."""

    def __init__(self, denoiser: Denoiser, decay: float, start: int = 0) -> None:
        self._denoiser = denoiser
        self._decay = decay
        self._start = start  # steps before which the average is the weights themselves
        self.weights = {name: p.detach().float().clone() for name, p in denoiser.trained()}

    def update(self, step: int, finite: Tensor) -> None:
        """Update with the weights after a step: average += (1 - decay) (weights - average).

        `finite`, a float32 scalar on the device, is 0 for a skipped step, else 1.
        """
        share = finite * (1 - decay_at(step, self._decay, self._start))
        lerp_all(self.weights.values(), (p for _, p in self._denoiser.trained()), share)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within, the denoiser has the averaged weights; afterwards its own again.

        Values are swapped one tensor at a time, without a third copy of the weights.
        """
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, parameter in self._denoiser.trained():
            own = parameter.clone()
            parameter.copy_(self.weights[name])
            self.weights[name].copy_(own)


def exponent(width: float) -> float:
    """The gamma of a profile with a relative standard deviation (eq. 126, algorithm 2)."""
    squared = width**-2
    roots = np.roots([1, 7, 16 - squared, 12 - squared])
    return float(roots.real.max())


def power_decay(time: int, gamma: float) -> float:
    """The decay of the average at a time counted from 1 (eq. 127): 0 at the first."""
    return float((1 - 1 / time) ** (gamma + 1))


def products(
    times: np.ndarray, gammas: np.ndarray, others: np.ndarray, other_gammas: np.ndarray
) -> np.ndarray:
    """Inner products of all profiles [n] with all others [m], float64 [n, m] (eq. 151).

    A profile is p(s) = (gamma + 1) s^gamma / t^(gamma + 1) for s in [0, t]; the inner product is
    the integral of p q over the shorter of the two times.
    """
    t, g = times[:, None].astype(np.float64), gammas[:, None]
    u, h = others[None].astype(np.float64), other_gammas[None]
    shorter, longer = np.minimum(t, u), np.maximum(t, u)
    of_longer = np.where(t > u, g, h)
    return np.asarray((g + 1) * (h + 1) / (g + h + 1) * (shorter / longer) ** of_longer / longer)


def coefficients(
    times: Sequence[int], widths: Sequence[float], time: int, width: float
) -> np.ndarray:
    """Coefficients of the snapshots, float64 [n] of sum 1, for the target average (alg. 3)."""
    at, gammas = np.array(times), np.array([exponent(w) for w in widths])
    target, gamma = np.array([time]), np.array([exponent(width)])
    gram = products(at, gammas, at, gammas)
    solution = np.linalg.solve(gram, products(at, gammas, target, gamma))[:, 0]
    return np.asarray(solution / solution.sum())


def misfit(
    times: Sequence[int], widths: Sequence[float], time: int, width: float, shares: np.ndarray
) -> float:
    """Relative L2 error of the combined profile against the target one."""
    at, gammas = np.array([*times, time]), np.array([exponent(w) for w in (*widths, width)])
    difference = np.append(shares, -1.0)
    gram = products(at, gammas, at, gammas)
    return float(np.sqrt(max(0.0, difference @ gram @ difference) / gram[-1, -1]))


class PosthocEma:
    """Running averages of two widths, float32, by name."""

    def __init__(self, denoiser: Denoiser, widths: tuple[float, float]) -> None:
        self.denoiser = denoiser
        self.averages: dict[float, dict[str, Tensor]] = {
            width: {name: p.detach().float().clone() for name, p in denoiser.trained()}
            for width in widths
        }

    def update(self, step: int, finite: Tensor) -> None:
        """Update with the weights after a step, counted from 0; see `Ema.update`."""
        for width, average in self.averages.items():
            share = finite * (1 - power_decay(step + 1, exponent(width)))
            lerp_all(average.values(), (p for _, p in self.denoiser.trained()), share)

    def named(self) -> dict[str, dict[str, Tensor]]:
        """Both averages by their names on disk."""
        return {f"width-{width:g}": average for width, average in self.averages.items()}


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """An average on disk."""

    step: int  # steps done
    width: float
    path: Path
    record: FileRecord  # size and checksums of its file
    sample_size: int  # of the UNet, as the run set it


def save_snapshots(folder: Path, step: int, posthoc: PosthocEma, *, main: bool = True) -> None:
    """Write both averages after `step` steps atomically into a folder below `folder`.

    A resumed run writes the same files again. All processes call it, as shards are gathered; the
    main one writes. Raises OSError, on the main process alone, if the disk has no room.
    """
    averages = posthoc.named()
    layouts = {name: in_file_order(layout_of(average)) for name, average in averages.items()}
    whole = (gather_full(averages[name][key]) for name in layouts for key in layouts[name])
    try:
        if main:
            _write(folder / f"step-{step:08d}", step, posthoc, layouts, whole)
    finally:
        for _ in whole:  # the other processes continue to gather, even if writing failed
            pass


def _write(
    path: Path,
    step: int,
    posthoc: PosthocEma,
    layouts: dict[str, FileLayout],
    whole: Iterator[Tensor],
) -> None:
    if path.exists():
        discard_folder(path, path)
    with atomic_folder(path) as partial:
        files: dict[str, Any] = {}
        for (name, layout), width in zip(layouts.items(), posthoc.averages, strict=True):
            file = f"{name}.safetensors"
            record = write_tensors(partial / file, layout, islice(whole, len(layout)))
            files[file] = {"width": width, "record": record}
        size = posthoc.denoiser.unet.config.sample_size
        write_checked_json(partial / MANIFEST, {"step": step, "sample_size": size, "files": files})


def find_snapshots(folder: Path) -> list[Snapshot]:
    """All snapshots below a folder, oldest first. Raises InputError if one is damaged."""
    found = []
    for path in sorted(folder.glob("step-*")):
        try:
            manifest = read_checked_json(path / MANIFEST)
        except (OSError, InputError):
            raise InputError(f"{path / MANIFEST} is damaged: remove {path}") from None
        step, size = manifest["step"], manifest["sample_size"]
        for name, entry in manifest["files"].items():
            width, record = entry["width"], entry["record"]
            found.append(
                Snapshot(step=step, width=width, path=path / name, record=record, sample_size=size)
            )
    return found


@torch.no_grad()
def combine(denoiser: Denoiser, snapshots: Sequence[Snapshot], shares: Sequence[float]) -> None:
    """Set a denoiser's weights to the weighted sum of snapshots.

    Snapshots are read one after the other, a tensor at a time, and summed in place. Raises
    InputError if one is damaged or has other weights.
    """
    weights = dict(denoiser.trained())
    for parameter in weights.values():
        parameter.zero_()
    for snapshot, share in zip(snapshots, shares, strict=True):
        path = snapshot.path
        if wrong := find_chunk_damage(path.parent, {path.name: snapshot.record}):
            raise InputError(f"{path.parent} is damaged ({wrong[0]}): remove it")
        with safe_open(path, framework="pt") as file:
            if set(file.keys()) != weights.keys():
                raise InputError(f"{path} has other weights than its run's configuration trains")
            for name, parameter in weights.items():
                parameter.add_(file.get_tensor(name), alpha=float(share))
