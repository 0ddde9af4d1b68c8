"""The Fréchet distance of two Gaussians (Heusel et al. 2017) and the kernel distance (KID).

Everything is float64.
"""

from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

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
    """|mean_a - mean_b|^2 + tr(A + B - 2 (A B)^(1/2)), by two symmetric eigenproblems.

    tr (A B)^(1/2) is the sum of roots of the eigenvalues of A^(1/2) B A^(1/2), which is symmetric:
    three times as fast as a matrix square root and never complex.
    """
    values, vectors = scipy.linalg.eigh(a.covariance)
    root = vectors * np.sqrt(values.clip(min=0))  # root @ root.T = A
    cross = scipy.linalg.eigvalsh(root.T @ b.covariance @ root)
    trace = np.trace(a.covariance) + np.trace(b.covariance)
    distance = np.sum((a.mean - b.mean) ** 2) + trace - 2 * np.sqrt(cross.clip(min=0)).sum()
    return max(0.0, float(distance))


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
    roots = scipy.linalg.svdvals(x @ y.T).sum()
    return max(0.0, float(gap + np.sum(x**2) + np.sum(y**2) - 2 * roots))


def kernel_distance(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Squared MMD with the kernel (x.y / d + 1)^3, unbiased whatever n (Binkowski et al. 2018)."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    within = [_off_diagonal_mean((z @ z.T / z.shape[1] + 1) ** 3) for z in (x, y)]
    return float(sum(within) - 2 * ((x @ y.T / x.shape[1] + 1) ** 3).mean())


def _off_diagonal_mean(kernel: Floats) -> float:
    n = len(kernel)
    return float((kernel.sum() - np.trace(kernel)) / (n * (n - 1)))
