"""The diffusion objective: noising, targets and weights, as pure functions on tensors.

`alpha_bar` is the cumulative product of the noise schedule at each item's timestep, [N].
"""

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
    """Noise whose channels are shifted as a whole (Guttenberg 2023), [N, C, H, W].

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


def target(prediction: str, latents: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """What the UNet should say, [N, C, H, W]: the noise, or v (Salimans and Ho 2022, app. D)."""
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


def item_losses(predicted: Tensor, wanted: Tensor, weights: Tensor | None) -> Tensor:
    """Weighted mean squared error of each item, float32 [N]."""
    losses = (predicted.float() - wanted.float()).square().flatten(1).mean(dim=1)
    return losses if weights is None else losses * weights
