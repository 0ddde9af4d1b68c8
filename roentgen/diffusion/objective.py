"""Diffusion objective: noising, targets, weights and the noised loss, pure functions on tensors.

`alpha_bar` is the cumulative product of the noise schedule at each item's timestep, [N].
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf, sqrt

import torch
from torch import Tensor

# Just under the SNR at Stable Diffusion's last timestep, 0.004682. Below it v-prediction weights
# level off, so that a schedule with zero terminal SNR learns its last timestep as the ordinary one.
SNR_FLOOR = 0.00468


def _per_item(values: Tensor, like: Tensor) -> Tensor:
    return values.view(-1, *[1] * (like.ndim - 1))


def add_noise(latents: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """Noisy latents [N, C, H, W] (Ho et al. 2020, eq. 4)."""
    alpha_bar = _per_item(alpha_bar, latents)
    return alpha_bar.sqrt() * latents + (1 - alpha_bar).sqrt() * noise


def offset_noise(noise: Tensor, shared: Tensor, deviation: float) -> Tensor:
    """Noise with each channel shifted by a constant (Guttenberg 2023), [N, C, H, W].

    `shared`, [N, C, 1, 1], is standard normal as `noise` is.
    """
    return noise + deviation * shared


def zero_terminal_snr(alpha_bars: Tensor) -> Tensor:
    """The noise schedule [timesteps] whose last step holds no signal (Lin et al. 2023, alg. 1).

    The square roots are shifted so that the last is 0 and scaled so that the first stays.
    """
    roots = alpha_bars.sqrt()
    first, last = roots[0], roots[-1]
    return ((roots - last) * (first / (first - last))).square()


def noise_level(alpha_bar: float) -> float:
    """The noise's standard deviation beside a signal of scale 1, sigma (Karras et al. 2022)."""
    return sqrt((1 - alpha_bar) / alpha_bar) if alpha_bar else inf


def target(prediction: str, latents: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """The prediction's target [N, C, H, W]: noise, or v (Salimans and Ho 2022, app. D)."""
    match prediction:
        case "epsilon":
            return noise
        case "v_prediction":
            alpha_bar = _per_item(alpha_bar, latents)
            return alpha_bar.sqrt() * noise - (1 - alpha_bar).sqrt() * latents
    raise ValueError(f"unknown prediction {prediction!r}; known: epsilon, v_prediction")


def min_snr_weights(prediction: str, alpha_bar: Tensor, gamma: float) -> Tensor:
    """Min-SNR-gamma weights [N] (Hang et al. 2023, sec. 3.4), finite and above 0 at zero SNR.

    With SNR = alpha_bar / (1 - alpha_bar): min(SNR, gamma) / SNR for epsilon and
    min(SNR, gamma) / (SNR + 1) for v, written so that nothing is divided by zero.
    """
    match prediction:
        case "epsilon":
            return (gamma * (1 - alpha_bar) / alpha_bar).clamp(max=1.0)
        case "v_prediction":
            least = SNR_FLOOR / (SNR_FLOOR + 1)
            return torch.minimum(alpha_bar.clamp(min=least), gamma * (1 - alpha_bar))
    raise ValueError(f"unknown prediction {prediction!r}; known: epsilon, v_prediction")


def item_losses(predicted: Tensor, expected: Tensor, weights: Tensor | None) -> Tensor:
    """Weighted mean squared error of each item, float32 [N]."""
    losses = (predicted.float() - expected.float()).square().flatten(1).mean(dim=1)
    return losses if weights is None else losses * weights


@dataclass(frozen=True, kw_only=True)
class DiffusionProcess:
    """The diffusion process of a model: its noise schedule and what it predicts."""

    prediction: str  # epsilon or v_prediction
    alpha_bars: Tensor  # float32 [timesteps]

    @property
    def timesteps(self) -> int:
        """The number of timesteps."""
        return len(self.alpha_bars)

    def to(self, device: torch.device) -> "DiffusionProcess":
        """The process with its schedule on the device."""
        return replace(self, alpha_bars=self.alpha_bars.to(device))

    def losses(
        self,
        predict: Callable[[Tensor, Tensor], Tensor],
        latents: Tensor,
        noise: Tensor,
        timesteps: Tensor,
        *,
        min_snr: float | None = None,
    ) -> Tensor:
        """The loss of each item, float32 [N], of `predict(noisy latents, timesteps)`.

        `min_snr` is the gamma of Min-SNR weights; None: all timesteps have weight 1.
        """
        alpha_bar = self.alpha_bars[timesteps]
        predicted = predict(add_noise(latents, noise, alpha_bar), timesteps)
        expected = target(self.prediction, latents, noise, alpha_bar)
        weights = None
        if min_snr is not None:
            weights = min_snr_weights(self.prediction, alpha_bar, min_snr)
        return item_losses(predicted, expected, weights)
