"""Exponential moving average of the trained weights."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from roentgen.diffusion.denoiser import Denoiser


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
