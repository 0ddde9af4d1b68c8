"""Exponential moving average of the trained weights."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from train.denoiser import Denoiser


def decay_at(step: int, decay: float) -> float:
    """The decay at a step counted from 0: it warms up as in TensorFlow's averages.

    A function of the step alone: a decay that feeds on its last value would never settle.
    """
    return min(decay, (1 + step) / (10 + step))


class Ema:
    """The average, float32, by name."""

    def __init__(self, denoiser: Denoiser, decay: float) -> None:
        self._denoiser = denoiser
        self._decay = decay
        self.weights = {name: p.detach().float().clone() for name, p in denoiser.trained()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after a step: average += (1 - decay) (weights - average)."""
        current = [p.detach().float() for _, p in self._denoiser.trained()]
        share = 1 - decay_at(step, self._decay)
        torch._foreach_lerp_(list(self.weights.values()), current, share)

    @torch.no_grad()
    def load(self, weights: dict[str, Tensor]) -> None:
        """Take up a saved average."""
        for name, average in self.weights.items():
            average.copy_(weights[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within, the denoiser holds the average; afterwards its own weights again.

        Storage changes hands: no third copy of the weights is made.
        """
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for name, parameter in self._denoiser.trained():
            parameter.data, self.weights[name] = self.weights[name], parameter.data
