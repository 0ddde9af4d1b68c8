"""Multi-scale structural similarity (Wang et al. 2003) of all pairs in a group of gray images.

Equal to torchmetrics: Gaussian window of 11 pixels and sigma 1.5, contrast terms over the valid
region, the coarsest scale with a reflected border, negative terms clipped to zero. Here each
image's own moments are computed once, not once a pair, which takes a third of its time or less
(tests/benchmarks/test_ms_ssim_speed.py); float32 suffices because each image is first centered on
its mean, which changes no variance and no covariance.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from roentgen.errors import InputError

WANG_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = 0.01**2, 0.03**2  # for images in [0, 1]
_PIXELS_AT_ONCE = 2**18  # fits a processor's caches; larger parts are slower


def scale_weights(size: int) -> tuple[float, ...]:
    """Wang's weights of as many scales as an image of this side allows, renormalized to sum to 1.

    Five scales need 176 pixels; 128 pixels have four, 64 three. Raises InputError below 22.
    """
    fitting = [n for n in range(2, 6) if size // max(1, n - 1) ** 2 >= _WINDOW and size >= 2**n]
    if not fitting or size < 2 * _WINDOW:
        raise InputError(f"MS-SSIM needs images of at least {2 * _WINDOW} pixels, not {size}")
    weights = WANG_WEIGHTS[: max(fitting)]
    return tuple(weight / sum(weights) for weight in weights)


def ms_ssim_pairs(
    images: NDArray[np.uint8], pairs: Sequence[tuple[int, int]]
) -> NDArray[np.float64]:
    """MS-SSIM of each pair of indices into (N, H, W) images; 1 for equal images."""
    weights = scale_weights(min(images.shape[1:]))
    first = torch.tensor([pair[0] for pair in pairs])
    second = torch.tensor([pair[1] for pair in pairs])
    result = torch.ones(len(pairs), dtype=torch.float64)
    level = torch.from_numpy(images).float().unsqueeze(1) / 255  # N1HW in [0, 1]
    for scale, weight in enumerate(weights):
        coarsest = scale == len(weights) - 1
        x = functional.pad(level, (_WINDOW // 2,) * 4, mode="reflect") if coarsest else level
        center = x.mean(dim=(1, 2, 3), keepdim=True)
        x = x - center
        each = max(1, _PIXELS_AT_ONCE // (x.shape[2] * x.shape[3]))
        starts = range(0, len(x), each)
        mean = torch.cat([_blur(x[k : k + each]) for k in starts])
        square = torch.cat([_blur(x[k : k + each] ** 2) for k in starts])
        variance = square.addcmul_(mean, mean, value=-1).clamp_(min=0)
        for start in range(0, len(pairs), each):
            part = slice(start, start + each)
            i, j = first[part], second[part]
            covariance = _blur(x[i] * x[j]).addcmul_(mean[i], mean[j], value=-1)
            term = covariance.mul_(2).add_(_C2).div_(variance[i].add_(variance[j]).add_(_C2))
            if coarsest:
                mean_i, mean_j = mean[i] + center[i], mean[j] + center[j]
                term *= (2 * mean_i * mean_j + _C1) / (mean_i**2 + mean_j**2 + _C1)
            means = term.mean(dim=(1, 2, 3), dtype=torch.float64)
            result[part] *= means.relu() ** weight
        level = functional.avg_pool2d(level, 2)
    return result.numpy()


def _blur(x: Tensor) -> Tensor:
    """The Gaussian window over the valid region, one axis after the other, as shifted sums."""
    distance = torch.arange(_WINDOW) - _WINDOW // 2
    gauss = torch.exp(-(distance**2) / (2 * _SIGMA**2))
    window: list[float] = (gauss / gauss.sum()).tolist()
    for axis in (2, 3):
        length = x.shape[axis] - _WINDOW + 1
        total = x.narrow(axis, _WINDOW // 2, length) * window[_WINDOW // 2]
        for k in range(_WINDOW // 2):  # the window is symmetric
            both = x.narrow(axis, k, length) + x.narrow(axis, _WINDOW - 1 - k, length)
            total.add_(both, alpha=window[k])
        x = total
    return x
