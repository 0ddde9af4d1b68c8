"""MS-SSIM over all pairs of 64 images is faster than with the public packages."""

import time
from collections.abc import Callable
from itertools import combinations
from statistics import median

import numpy as np
import pytest
import torch
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from roentgen.metrics.images.ms_ssim import ms_ssim_pairs, scale_weights

IMAGES, SIZE = 64, 256
SHARE = 16  # the packages' time is that of every 16th pair, times 16: all would take minutes
REPEATS = 3
Pairs = list[tuple[int, int]]


def images() -> np.ndarray:
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    base = 0.5 + 0.3 * np.sin(7 * x + 3 * y)
    noise = generator.standard_normal((IMAGES, SIZE, SIZE)) * 0.05
    return np.asarray((base + noise).clip(0, 1) * 255, dtype=np.uint8)


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@pytest.mark.slow
def test_all_pairs_take_a_third_of_the_time_of_the_public_packages() -> None:
    package = pytest.importorskip("pytorch_msssim", reason="pytorch-msssim is absent")
    pixels = images()
    pairs = list(combinations(range(IMAGES), 2))
    part = pairs[::SHARE]
    x = torch.from_numpy(pixels).float().unsqueeze(1) / 255
    found: dict[str, np.ndarray] = {}

    def theirs(name: str, batch: int) -> None:
        values = []
        for first in range(0, len(part), batch):
            i, j = torch.tensor(part[first : first + batch]).T
            if name == "torchmetrics":
                values.append(
                    multiscale_structural_similarity_index_measure(
                        x[i],
                        x[j],
                        data_range=1.0,
                        reduction=None,
                        betas=scale_weights(SIZE),
                        normalize="relu",
                    )
                )
            else:
                values.append(package.ms_ssim(x[i], x[j], data_range=1.0, size_average=False))
        found[name] = torch.cat([value.reshape(-1) for value in values]).numpy()

    def ours() -> None:
        found["ours"] = ms_ssim_pairs(pixels, pairs)[::SHARE]

    taken = {"ours": median(seconds(ours) for _ in range(REPEATS))}
    for name in ("pytorch-msssim", "torchmetrics"):
        # The batch that the package is fastest with.
        taken[name] = SHARE * min(
            median(seconds(lambda n=name, b=batch: theirs(n, b)) for _ in range(REPEATS))  # type: ignore[misc]
            for batch in (1, 4, 32)
        )
    print("seconds for all pairs:", {name: round(value, 2) for name, value in taken.items()})
    np.testing.assert_allclose(found["ours"], found["torchmetrics"], atol=1e-5)
    for name in ("pytorch-msssim", "torchmetrics"):
        assert taken[name] >= 3 * taken["ours"], name
