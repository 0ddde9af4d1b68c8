"""Steps whose loss or gradient is not finite: left out, counted and told, without a wait.

The device finds and leaves them out by itself; what it found is read when the loop looks at its
numbers anyway. A step that is left out changes neither weights nor averages nor the optimizer's
state; the schedule goes on by position.

All processes agree: a loss that is not finite makes its gradient NaN, which the exchange of
gradients carries to all, and what is judged is the norm of the gradient that they have in common.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from roentgen.errors import InputError
from train.engine.fsdp import full

if TYPE_CHECKING:
    from accelerate import Accelerator
    from accelerate.optimizer import AcceleratedOptimizer

NAMED = 4  # items in a line on the terminal; the log names all


@dataclass(kw_only=True)
class Skips:
    """How many steps were left out; part of a checkpoint."""

    total: int = 0
    in_row: int = 0  # up to the last step
    overflows: int = 0  # fp16: left out by the loss scaler, which then lowers its scale


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A step that was left out."""

    step: int  # counted from 0
    reason: Literal["loss", "gradient"]
    places: list[int]  # of the batch: those whose loss is not finite; of a gradient all


def passable(losses: Tensor) -> Tensor:
    """The losses [N], of which those that are not finite have a gradient of NaN.

    An infinite error may have a finite gradient, and the other processes see the gradient alone.
    """
    value = losses.detach()
    return losses * (1 + (value - value))  # by 1 where finite, else by NaN


def step_if_finite(optimizer: "AcceleratedOptimizer", finite: Tensor) -> None:
    """Take an optimizer's step if `finite`, a float32 scalar on the device, is 1 and not 0.

    Fused AdamW leaves its work undone on the device, its own count of steps too. Others know no
    such thing: the device is waited for. In fp16 the loss scaler sees to both.
    """
    inner = optimizer.optimizer
    if optimizer.scaler is None and getattr(inner, "_step_supports_amp_scaling", False):
        inner.found_inf = 1 - finite
    elif optimizer.scaler is None and not finite.item():
        return
    optimizer.step()


class Watch:
    """What the device found at the steps since it was last looked at."""

    def __init__(self, skips: Skips, accelerator: "Accelerator") -> None:
        self.skips = skips
        self._accelerator = accelerator
        self._losses: list[Tensor] = []  # of the step at work, [N] a slice
        self._steps: list[tuple[int, Tensor, Tensor]] = []  # step, norm, losses [slices, N]
        self._done: list[tuple[float, float]] = []  # loss and norm of the steps since the log's
        self._longest_row = 0

    def loss(self, losses: Tensor) -> Tensor:
        """The mean of a slice's losses [N], which are noted; see `passable`."""
        self._losses.append(losses.detach())
        return passable(losses).mean()

    def judge(self, step: int, norm: Tensor) -> Tensor:
        """Note the norm of a step's gradient; 1.0 if it is finite, else 0.0, on the device."""
        norm = full(norm)  # of sharded weights it comes as theirs
        self._steps.append((step, norm.float(), torch.stack(self._losses)))
        self._losses = []
        return norm.isfinite().float()

    def look(self) -> list[Skipped]:
        """The steps left out since the last look. Waits for the device; all processes must look.

        Raises InputError where the loss scaler of fp16 has nothing left to lower.
        """
        if not self._steps:
            return []
        steps, norms, losses = zip(*self._steps, strict=True)
        # [processes, steps, slices, N]: in this order a batch's places are shared out.
        gathered: Tensor = self._accelerator.gather(torch.stack(losses)[None])
        rows = gathered.transpose(0, 1).flatten(1).double().cpu()
        self._steps = []
        told = zip(steps, torch.stack(norms).tolist(), rows, strict=True)
        skipped = [s for step, norm, row in told if (s := self._take(step, norm, row))]
        scaler = self._accelerator.scaler
        if scaler and scaler.get_scale() < 1:
            raise InputError(
                f"the gradients of fp16 overflow even at a loss scale of {scaler.get_scale():g} "
                f"at step {steps[-1] + 1}: train in bf16 or fp32"
            )
        return skipped

    def _take(self, step: int, norm: float, losses: Tensor) -> Skipped | None:
        """Count a step of which all is known, losses [batch] in the order of the places."""
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
        return Skipped(step=step, reason="loss" if bad else "gradient", places=places)

    def numbers(self) -> dict[str, float]:
        """For the log: the mean loss of the steps done since it was last written, the last norm.

        Neither is there if all were left out.
        """
        numbers: dict[str, float] = {}
        if self._done:
            losses, norms = zip(*self._done, strict=True)
            numbers = {"loss": sum(losses) / len(losses), "gradient_norm": norms[-1]}
        if self._accelerator.scaler:
            numbers["overflows"] = self.skips.overflows
        self._done = []
        return numbers

    def check(self, limit: int) -> None:
        """Raise InputError if ever `limit` steps in a row were left out."""
        if self._longest_row >= limit:
            raise InputError(
                f"loss or gradient were not finite {self._longest_row} times in a row; "
                "metrics.jsonl names the items: look at these, lower the learning rates, or train "
                "in another precision; the checkpoints before are sound"
            )


def tell(skipped: Skipped, names: list[str]) -> str:
    """A step that was left out, in a line with the items that are to blame."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    what = "a loss" if skipped.reason == "loss" else "the gradient"
    named = ", ".join(names[:NAMED])
    return f"step {skipped.step + 1} left out: {what} is not finite, with {named}{more}"
