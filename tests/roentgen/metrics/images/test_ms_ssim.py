import numpy as np
import pytest
import torch
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from roentgen.errors import InputError
from roentgen.metrics.images.ms_ssim import WANG_WEIGHTS, ms_ssim_pairs, scale_weights


def smooth_images(n: int, size: int) -> np.ndarray:
    """Images that share structure, so that terms are neither 0 nor 1."""
    generator = np.random.default_rng(size)
    y, x = np.mgrid[:size, :size] / size
    base = 0.5 + 0.3 * np.sin(7 * x + 3 * y)
    noise = generator.standard_normal((n, size, size)) * 0.05
    waves = [0.15 * np.sin(generator.uniform(3, 20) * x + i) for i in range(n)]
    return np.asarray((base + np.stack(waves) + noise).clip(0, 1) * 255, dtype=np.uint8)


@pytest.mark.parametrize(("size", "scales"), [(64, 3), (128, 4), (176, 5), (256, 5)])
def test_agrees_with_torchmetrics(size: int, scales: int) -> None:
    images = smooth_images(4, size)
    weights = scale_weights(size)
    assert len(weights) == scales
    pairs = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    ours = ms_ssim_pairs(images, pairs)
    x = torch.from_numpy(images).double().unsqueeze(1) / 255
    for (i, j), value in zip(pairs, ours, strict=True):
        theirs = multiscale_structural_similarity_index_measure(
            x[i : i + 1], x[j : j + 1], data_range=1.0, betas=weights, normalize="relu"
        )
        assert value == pytest.approx(float(theirs), abs=1e-5)
        assert 0.05 < value < 0.99


def test_five_scales_are_wang() -> None:
    np.testing.assert_allclose(scale_weights(512), WANG_WEIGHTS, atol=1e-4)
    assert sum(scale_weights(128)) == pytest.approx(1)


def test_equal_images_are_at_one_and_order_does_not_matter() -> None:
    images = smooth_images(3, 64)
    images[2] = images[0]
    values = ms_ssim_pairs(images, [(0, 2), (0, 1), (1, 0)])
    assert values[0] == pytest.approx(1, abs=1e-6)
    assert values[1] == pytest.approx(values[2], abs=1e-6)


def test_many_pairs_in_parts_equal_one_by_one() -> None:
    images = smooth_images(13, 256)
    pairs = [(i, j) for i in range(13) for j in range(i)]  # 78, of which a part holds 4
    alone = [ms_ssim_pairs(images, [pair])[0] for pair in pairs]
    np.testing.assert_allclose(ms_ssim_pairs(images, pairs), alone, atol=1e-6)


def test_small_images_are_refused_with_the_number() -> None:
    with pytest.raises(InputError, match="at least 22 pixels, not 16"):
        scale_weights(16)
