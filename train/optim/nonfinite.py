"""Non-finite step guard: steps with a non-finite loss or gradient are skipped and reported.

The device detects and skips them without synchronization; the results are read when the loop reads
its log values anyway. A skipped step changes neither weights nor averages nor the optimizer's
state; the learning-rate schedule continues by position.

All processes agree: a non-finite loss makes its gradient NaN, which the gradient exchange carries
to all, and the check is on the norm of the gradient that they share.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from torch import Tensor

from roentgen.errors import InputError
from train.engine.fsdp import gather_full

MAX_NAMED = 4  # items in a line on the terminal; the log names all


@dataclass(kw_only=True)
class SkipCounts:
    """Numbers of skipped steps; part of a checkpoint."""

    total: int = 0
    in_row: int = 0  # up to the last step
    overflows: int = 0  # fp16: skipped by the loss scaler, which then lowers its scale


@dataclass(frozen=True, kw_only=True)
class SkippedStep:
    """A skipped step."""

    step: int  # counted from 0
    reason: Literal["loss", "gradient"]
    places: list[int]  # in the batch: those with a non-finite loss; all for a gradient


def propagate_nonfinite(losses: Tensor) -> Tensor:
    """The losses [N], where the gradient of a non-finite one is NaN.

    An infinite error may have a finite gradient, and other processes see the gradient alone.
    """
    value = losses.detach()
    return losses * (1 + (value - value))  # by 1 where finite, else by NaN


def step_if_finite(optimizer: AcceleratedOptimizer, finite: Tensor) -> None:
    """Take an optimizer's step if `finite`, a float32 scalar on the device, is 1 and not 0.

    Fused AdamW skips the update, its own step count included, on the device. Other optimizers
    cannot: the device is synchronized. In fp16 the loss scaler handles both.
    """
    inner = optimizer.optimizer
    if optimizer.scaler is None and getattr(inner, "_step_supports_amp_scaling", False):
        inner.found_inf = 1 - finite
    elif optimizer.scaler is None and not finite.item():
        return
    optimizer.step()


class NonfiniteGuard:
    """Losses and gradient norms of the steps since the last report, kept on the device."""

    def __init__(self, skips: SkipCounts, accelerator: Accelerator) -> None:
        self.skips = skips
        self._accelerator = accelerator
        self._losses: list[Tensor] = []  # of the current step, [N] a slice
        self._steps: list[tuple[int, Tensor, Tensor]] = []  # step, norm, losses [slices, N]
        self._done: list[tuple[float, float]] = []  # loss and norm of the steps since the last log
        self._longest_row = 0

    def loss(self, losses: Tensor) -> Tensor:
        """Record a slice's losses [N]; returns their mean, see `propagate_nonfinite`."""
        self._losses.append(losses.detach())
        return propagate_nonfinite(losses).mean()

    def check(self, step: int, norm: Tensor) -> Tensor:
        """Record a step's gradient norm; returns 1.0 if it is finite, else 0.0, on the device."""
        norm = gather_full(norm)  # that of sharded weights is sharded
        self._steps.append((step, norm.float(), torch.stack(self._losses)))
        self._losses = []
        return norm.isfinite().float()

    def skipped_steps(self) -> list[SkippedStep]:
        """The steps skipped since the last call. Synchronizes; all processes must call it.

        Raises InputError if the loss scale of fp16 cannot be lowered further.
        """
        if not self._steps:
            return []
        steps, norms, losses = zip(*self._steps, strict=True)
        # [processes, steps, slices, N]: the order in which a batch is divided.
        gathered: Tensor = self._accelerator.gather(torch.stack(losses)[None])
        rows = gathered.transpose(0, 1).flatten(1).double().cpu()
        self._steps = []
        found = zip(steps, torch.stack(norms).tolist(), rows, strict=True)
        skipped = [s for step, norm, row in found if (s := self._count(step, norm, row))]
        scaler = self._accelerator.scaler
        if scaler and scaler.get_scale() < 1:
            raise InputError(
                f"the gradients of fp16 overflow even at a loss scale of {scaler.get_scale():g} "
                f"at step {steps[-1] + 1}: train in bf16 or fp32"
            )
        return skipped

    def _count(self, step: int, norm: float, losses: Tensor) -> SkippedStep | None:
        """Count a step with losses [batch] in the order of the batch; returns it if skipped."""
        bad = (~losses.isfinite()).nonzero().flatten().tolist()
        if not bad and math.isfinite(norm):
            self._done.append((float(losses.mean()), norm))
            self.skips.in_row = 0
            return None
        if not bad and self._accelerator.scaler:  # in fp16 that is usual
            self.skips.overflows += 1
            return None
        self.skips.total += 1
        self.skips.in_row += 1
        self._longest_row = max(self._longest_row, self.skips.in_row)
        places = bad or list(range(len(losses)))
        return SkippedStep(step=step, reason="loss" if bad else "gradient", places=places)

    def log_values(self) -> dict[str, float]:
        """For the log: the mean loss of the steps since the last call, and the last norm.

        Both are absent if all were skipped.
        """
        numbers: dict[str, float] = {}
        if self._done:
            losses, norms = zip(*self._done, strict=True)
            numbers = {"loss": sum(losses) / len(losses), "gradient_norm": norms[-1]}
        if self._accelerator.scaler:
            numbers["overflows"] = self.skips.overflows
        self._done = []
        return numbers

    def check_limit(self, limit: int) -> None:
        """Raises InputError if `limit` steps in a row were ever skipped."""
        if self._longest_row >= limit:
            raise InputError(
                f"loss or gradient were not finite {self._longest_row} times in a row; "
                "metrics.jsonl names the items: inspect them, lower the learning rates, or train "
                "in another precision; earlier checkpoints are intact"
            )


def skip_message(skipped: SkippedStep, names: list[str]) -> str:
    """One line about a skipped step and its items."""
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    what = "a loss" if skipped.reason == "loss" else "the gradient"
    named = ", ".join(names[:MAX_NAMED])
    return f"step {skipped.step + 1} skipped: {what} is not finite, with {named}{more}"
