"""Copy finder: the most similar of many images, robust to small shifts, contrast and noise.

Chest radiographs look much alike, so similarity is computed without the smooth part and the grain
of an image, on what remains: ribs, vessels, markers, devices. Every image is first compared with
all others by a coarse descriptor, at every other shift, then with the most similar few in detail:
the largest normalized cross-correlation over shifts. It is 1 for a copy, regardless of brightness
and contrast, and lower for two radiographs of different patients.
"""

import math
from collections.abc import Iterator
from functools import cache
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from roentgen.dataset.image_set import Images
from roentgen.metrics.features.nearest import Nearest

SIDE = 128  # pixels at which images are compared
_COARSE = 16  # of the coarse descriptor
_SMOOTH, _GRAIN = 4.0, 1.5  # sigmas of the Gaussians between which lie the details; pixels of SIDE
_BATCH, _TOGETHER = 128, 32  # images described, and compared in detail, at once
_STRIDE = 2  # of shifts that are tried with the coarse descriptor, which feels more than that
CANDIDATES = 8


class CopyFinder:
    """Looks images up among `originals`, storing coarse descriptors only (1 kB each)."""

    def __init__(self, originals: Images, *, shift: int = 4) -> None:
        """`shift`: pixels, at a side of 128, by which a copy may be shifted."""
        self._originals = originals
        self._shift = shift
        self._coarse = torch.cat([_coarse(details(part), shift) for part in batches(originals)])

    def nearest(self, images: Images, *, others: bool = False) -> Nearest:
        """The most similar original of each image.

        `others`: the images are the originals themselves, and each is compared with the others.
        """
        found = [
            self._nearest(details(part), first if others else None)
            for first, part in zip(range(0, len(images), _BATCH), batches(images), strict=True)
        ]
        return Nearest(*(np.concatenate(column) for column in zip(*found, strict=True)))

    def _nearest(self, images: Tensor, first: int | None) -> Nearest:
        shifts = range(-self._shift, self._shift + 1, _STRIDE)
        alike = torch.full((len(images), len(self._coarse)), -torch.inf)
        for down, right in product(shifts, shifts):
            moved = _coarse(images, self._shift, down, right)
            alike = torch.maximum(alike, moved @ self._coarse.T)
        if first is not None:
            rows = torch.arange(len(images))
            alike[rows, rows + first] = -torch.inf
        count = min(CANDIDATES, alike.shape[1] - (first is not None))
        candidates = alike.topk(count, dim=1).indices
        index, similarity = [], []
        for first_of_part in range(0, len(images), _TOGETHER):
            part = images[first_of_part : first_of_part + _TOGETHER]
            rows = candidates[first_of_part : first_of_part + _TOGETHER]
            originals = details(self._originals[rows.flatten().numpy()])
            values = correlation(part, originals.view(*rows.shape, SIDE, SIDE), self._shift)
            best = values.argmax(dim=1, keepdim=True)
            index.append(rows.gather(1, best).squeeze(1).numpy())
            similarity.append(values.gather(1, best).squeeze(1).double().numpy())
        return Nearest(np.concatenate(index), np.concatenate(similarity))


def batches(images: Images) -> Iterator[NDArray[np.uint8]]:
    """The images, some hundred at a time."""
    for first in range(0, len(images), _BATCH):
        yield images[first : first + _BATCH]


def details(images: NDArray[np.uint8]) -> Tensor:
    """(N, H, W) at a side of 128 without smooth part and grain, float32 (N, 128, 128)."""
    x = torch.from_numpy(np.ascontiguousarray(images)).float().unsqueeze(1)
    if x.shape[-2:] != (SIDE, SIDE):
        x = functional.interpolate(x, (SIDE, SIDE), mode="bilinear", antialias=True)
    return (_blurred(x, _GRAIN) - _blurred(x, _SMOOTH)).squeeze(1)


def correlation(images: Tensor, others: Tensor, shift: int) -> Tensor:
    """The largest normalized cross-correlation (N, K) of (N, S, S) with (N, K, S, S) over shifts.

    Each image without a margin of `shift` is laid over each place of its others.
    """
    inner = images[:, shift : SIDE - shift, shift : SIDE - shift]
    inner = inner - inner.mean(dim=(1, 2), keepdim=True)
    length = inner.norm(dim=(1, 2), keepdim=True).clamp(min=1e-6)
    template = functional.pad(inner / length, (0, 2 * shift, 0, 2 * shift)).unsqueeze(1)
    spectrum = torch.fft.rfft2(others) * torch.fft.rfft2(template).conj()
    places = slice(0, 2 * shift + 1)
    products = torch.fft.irfft2(spectrum, s=(SIDE, SIDE))[..., places, places]
    sums, squares = _window_sums(others, shift), _window_sums(others**2, shift)
    spread = (squares - sums**2 / inner[0].numel()).clamp(min=1e-6).sqrt()
    similarity: Tensor = (products / spread).flatten(2).amax(dim=2)
    return similarity


def _window_sums(x: Tensor, shift: int) -> Tensor:
    """Sums over each place of a window that is 2 * shift smaller than (..., S, S)."""
    total = functional.pad(x.double().cumsum(-2).cumsum(-1), (1, 0, 1, 0))
    side, ends = SIDE - 2 * shift, 2 * shift + 1
    low, high = slice(0, ends), slice(side, side + ends)
    sums = total[..., high, high] - total[..., low, high]
    sums = sums - total[..., high, low] + total[..., low, low]
    return sums.float()


def _blurred(x: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of (..., S, S), the border repeated."""
    window = _blur(sigma)
    return window @ x @ window.T


@cache
def _blur(sigma: float) -> Tensor:
    """(S, S): what of each pixel of a line goes into each pixel of the blurred line."""
    reach = math.ceil(3 * sigma)
    places = torch.arange(-reach, reach + 1)
    weights = torch.exp(-(places**2) / (2 * sigma**2))
    pixels = torch.arange(SIDE).view(-1, 1)
    taken = (pixels + places).clamp(0, SIDE - 1)
    matrix = torch.zeros(SIDE, SIDE)
    return matrix.scatter_add_(1, taken, (weights / weights.sum()).expand(SIDE, -1))


def _coarse(x: Tensor, margin: int, down: int = 0, right: int = 0) -> Tensor:
    """Unit vectors (N, 256) of (N, 128, 128): 16 x 16 means of what lies within a margin, moved."""
    rows, columns = (slice(margin + move, SIDE - margin + move) for move in (down, right))
    small = functional.adaptive_avg_pool2d(x[:, rows, columns].unsqueeze(1), _COARSE).flatten(1)
    small = small - small.mean(dim=1, keepdim=True)
    return functional.normalize(small, dim=1)
