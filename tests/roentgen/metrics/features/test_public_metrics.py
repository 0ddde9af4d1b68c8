"""The fidelity measures agree with the packages that others use, on the same features."""

from typing import Any

import numpy as np
import pytest
import torch
from torchmetrics.image import FrechetInceptionDistance, KernelInceptionDistance

from roentgen.metrics.features.frechet import frechet_distance_of_features
from roentgen.metrics.features.kernel_distances import kernel_distance
from roentgen.metrics.features.prdc import prdc

AGREE = 1e-3  # relative


class Passed(torch.nn.Module):
    """What torchmetrics takes for a network: features of features."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.num_features = d

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def features(n: int, d: int, seed: int, shift: float = 0.0) -> np.ndarray:
    """Like a network's: correlated, above zero, with a few strong directions."""
    generator = np.random.default_rng(seed)
    mix = np.random.default_rng(0).standard_normal((d, d)) * np.geomspace(1, 0.02, d)[:, None]
    x = np.maximum(generator.standard_normal((n, d)) @ mix + shift, 0)
    return x.astype(np.float32)


@pytest.fixture(params=[(400, 300, 48), (120, 90, 256)])  # more images than dimensions, and fewer
def pair(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    n, m, d = request.param
    return features(n, d, 1, shift=0.2), features(m, d, 2)


def torchmetrics_value(metric: Any, a: np.ndarray, b: np.ndarray) -> float:
    metric.set_dtype(torch.float64)
    metric.update(torch.from_numpy(b).double(), real=True)
    metric.update(torch.from_numpy(a).double(), real=False)
    value = metric.compute()
    return float(value[0] if isinstance(value, tuple) else value)


def test_fid(pair: tuple[np.ndarray, np.ndarray]) -> None:
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    a, b = pair
    ours = frechet_distance_of_features(a, b)
    told = [fid_features_to_statistics(torch.from_numpy(x).double()) for x in pair]
    theirs = fid_statistics_to_metric(*told, verbose=False)["frechet_inception_distance"]
    assert ours == pytest.approx(theirs, rel=AGREE)
    metric = FrechetInceptionDistance(feature=Passed(a.shape[1]))
    assert ours == pytest.approx(torchmetrics_value(metric, a, b), rel=AGREE)


def test_kid(pair: tuple[np.ndarray, np.ndarray]) -> None:
    from torch_fidelity.metric_kid import kid_features_to_metric

    a, b = pair
    a = a[: len(b)]  # one subset of all images is all that the packages can be asked for
    ours = kernel_distance(a, b)
    theirs = kid_features_to_metric(
        *(torch.from_numpy(x).double() for x in (a, b)),
        kid_subsets=1,
        kid_subset_size=len(b),
        verbose=False,
    )["kernel_inception_distance_mean"]
    assert ours == pytest.approx(theirs, rel=AGREE)
    with pytest.warns(UserWarning, match="large memory footprint"):
        metric = KernelInceptionDistance(feature=Passed(a.shape[1]), subsets=1, subset_size=len(b))
    assert ours == pytest.approx(torchmetrics_value(metric, a, b), rel=AGREE)


@pytest.mark.parametrize("k", [3, 5])
def test_precision_and_recall(pair: tuple[np.ndarray, np.ndarray], k: int) -> None:
    from torch_fidelity.metric_prc import prc_features_to_metric

    made, real = pair
    ours = prdc(real, made, k=k)
    theirs = prc_features_to_metric(
        *(torch.from_numpy(x).double() for x in (made, real)), prc_neighborhood=k, verbose=False
    )
    assert 0 < ours.precision < 1
    assert ours.precision == pytest.approx(theirs["precision"], rel=AGREE)
    assert ours.recall == pytest.approx(theirs["recall"], rel=AGREE)


def test_density_and_coverage(pair: tuple[np.ndarray, np.ndarray]) -> None:
    package = pytest.importorskip("prdc")
    made, real = (x.astype(np.float64) for x in pair)
    theirs = package.compute_prdc(real, made, nearest_k=5)
    ours = vars(prdc(real, made, k=5))
    assert 0 < ours["density"] != 1
    for name, value in ours.items():
        assert value == pytest.approx(theirs[name], rel=AGREE), name
