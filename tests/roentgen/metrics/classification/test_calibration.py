import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import binary_calibration_error

from roentgen.metrics.classification.calibration import BINS, ece_floor, reliability, weighted_ece

ONCE = np.ones((1, 1))


def drawn(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, and presence drawn with them: perfectly calibrated."""
    generator = np.random.default_rng(seed)
    said = generator.beta(0.6, 1.2, n)
    return said, generator.random(n) < said


def ece(said: np.ndarray, positive: np.ndarray) -> float:
    return float(weighted_ece(said, positive, np.ones((1, len(said))))[0])


def test_it_agrees_with_torchmetrics() -> None:
    said, positive = drawn(700, 0)
    said = said**2  # too low
    theirs = binary_calibration_error(
        torch.from_numpy(said), torch.from_numpy(positive).long(), n_bins=BINS, norm="l1"
    )
    assert ece(said, positive) == pytest.approx(float(theirs), abs=1e-6)


def test_a_perfectly_calibrated_predictor_has_an_error_near_0_and_at_its_floor() -> None:
    said, positive = drawn(200_000, 1)
    assert ece(said, positive) < 0.005
    floors = [ece_floor(drawn(200, seed)[0], 0) for seed in range(20)]
    found = [ece(*drawn(200, seed)) for seed in range(20)]
    assert np.mean(found) == pytest.approx(np.mean(floors), rel=0.15)
    assert np.mean(floors) > 0.03  # far above 0, though nothing is wrong


def test_hand_made() -> None:
    said = np.array([0.05, 0.05, 0.95, 1.0])
    positive = np.array([False, True, True, True])
    # Bins: (0.05, 0.5 present), (0.975, all present); half of the images each.
    assert ece(said, positive) == pytest.approx(0.5 * 0.45 + 0.5 * 0.025)
    means, shares = reliability(said, positive)
    assert (means[0], means[9]) == pytest.approx((0.05, 0.975))
    assert (shares[0].value, shares[0].n, shares[9].value) == (0.5, 2, 1)
    assert shares[4].note == "not measured: no prediction in this bin"


def test_weights_are_repeats() -> None:
    said, positive = drawn(60, 2)
    weights = np.random.default_rng(0).integers(0, 3, size=(4, 60)).astype(float)
    for row, value in zip(weights, weighted_ece(said, positive, weights), strict=True):
        again = np.repeat(np.arange(60), row.astype(int))
        assert value == pytest.approx(ece(said[again], positive[again]), rel=1e-10)
