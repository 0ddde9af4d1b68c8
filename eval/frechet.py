"""The Fréchet distance of two Gaussians (Heusel et al. 2017), and FID without its bias.

Everything is float64.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """Mean (d,) and scatter (d, d), the sum of squared deviations, of n features."""

    n: int
    mean: Floats
    scatter: Floats

    @classmethod
    def of(cls, features: NDArray[np.floating]) -> "Moments":
        """The moments of one batch (n, d)."""
        values = features.astype(np.float64)
        mean = values.mean(axis=0)
        return cls(len(values), mean, (values - mean).T @ (values - mean))

    @property
    def covariance(self) -> Floats:
        """Unbiased."""
        return self.scatter / (self.n - 1)


def frechet_distance(a: Moments, b: Moments) -> float:
    """|mean_a - mean_b|^2 + tr(A + B - 2 (A B)^(1/2)), by one symmetric eigenproblem.

    With A = L L^T, tr (A B)^(1/2) is the sum of roots of the eigenvalues of L^T B L, which is
    symmetric: several times as fast as a matrix square root or the eigenvalues of A B, and never
    complex.
    """
    root, covariance = _root(torch.from_numpy(a.covariance)), torch.from_numpy(b.covariance)
    cross = torch.linalg.eigvalsh(root.T @ covariance @ root)
    trace = np.trace(a.covariance) + np.trace(b.covariance)
    gap = np.sum((a.mean - b.mean) ** 2)
    return max(0.0, float(gap + trace - 2 * cross.clip(min=0).sqrt().sum()))


def _root(covariance: Tensor) -> Tensor:
    """L with L L^T = `covariance` (d, d): Cholesky's, or of a singular one by eigenvectors."""
    root: Tensor
    root, failed = torch.linalg.cholesky_ex(covariance)
    if failed:
        values, vectors = torch.linalg.eigh(covariance)
        root = vectors * values.clip(min=0).sqrt()
    return root


def frechet_distance_of_features(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """The same from features (n, d) and (m, d); with few images in low-rank form.

    With centred X and Y, tr (A B)^(1/2) is the sum of singular values of X Y^T over
    sqrt((n - 1)(m - 1)): exact, and n x m instead of d x d.
    """
    if len(a) < 2 or len(b) < 2:
        raise ValueError(f"a covariance needs 2 features, not {len(a)} and {len(b)}")
    if len(a) * len(b) >= a.shape[1] ** 2:
        return frechet_distance(Moments.of(a), Moments.of(b))
    x, y = a.astype(np.float64), b.astype(np.float64)
    gap = np.sum((x.mean(axis=0) - y.mean(axis=0)) ** 2)
    x = (x - x.mean(axis=0)) / np.sqrt(len(x) - 1)
    y = (y - y.mean(axis=0)) / np.sqrt(len(y) - 1)
    roots = float(torch.linalg.svdvals(torch.from_numpy(x @ y.T)).sum())
    return max(0.0, float(gap + np.sum(x**2) + np.sum(y**2) - 2 * roots))
