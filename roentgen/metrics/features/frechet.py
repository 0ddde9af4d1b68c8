"""Fréchet distance of two Gaussians (Heusel et al. 2017), exact for any block size.

Everything is float64. torchmetrics has the distance of two sets of images and its own network;
intervals need it of features and of resamples, which are weights.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from roentgen.metrics.estimates import Floats
from roentgen.metrics.features.feature_set import Features, SelectedRows, blocks, whole

_COLUMNS, _ROWS = 256, 4096  # processed together


@dataclass(frozen=True)
class Moments:
    """Mean (d,) and scatter (d, d), the sum of squared deviations, of n features."""

    n: float
    mean: Floats
    scatter: Floats

    @classmethod
    def of(cls, features: Features, weights: NDArray[Any] | None = None) -> "Moments":
        """The moments of features (n, d), each counted `weights` (n,) times, in one pass."""
        d = features.shape[1]
        n, total, squares = 0.0, np.zeros(d), np.zeros((d, d))
        product = np.empty((d, d))  # new memory costs as much as the work
        near = np.zeros(d)  # sums are of deviations from a point near the mean: no digits are lost
        for rows, x in blocks(features, _ROWS):
            if rows.start == 0:
                near = x.mean(axis=0)
            x -= near
            counts = np.ones(len(x)) if weights is None else weights[rows].astype(np.float64)
            n += float(counts.sum())
            total += counts @ x
            if weights is not None:
                x *= np.sqrt(counts)[:, None]
            np.matmul(x.T, x, out=product)
            squares += product
        gap = total / n
        np.multiply(total[:, None], gap, out=product)
        squares -= product
        return cls(n, near + gap, squares)

    def __add__(self, other: "Moments") -> "Moments":
        """The moments of both sets together (Chan, Golub and LeVeque 1979)."""
        n, gap = self.n + other.n, other.mean - self.mean
        scatter = self.scatter + other.scatter
        scatter += np.outer(gap, gap * (self.n * other.n / n))
        return Moments(n, self.mean + gap * (other.n / n), scatter)

    @property
    def covariance(self) -> Floats:
        """Unbiased."""
        return self.scatter / (self.n - 1)


class Sample:
    """Features (n, d), each counted `weights` (n,) times; what is derived from them is cached."""

    def __init__(self, features: Features, weights: NDArray[Any] | None = None) -> None:
        """Raises ValueError for fewer than 2 features."""
        if weights is not None:
            rows = np.flatnonzero(weights)
            features, weights = SelectedRows(features, rows), weights[rows]
        self.n = len(features) if weights is None else int(weights.sum())
        if self.n < 2:
            raise ValueError(f"a covariance needs 2 features, not {self.n}")
        self._features, self._weights = features, weights
        self.distinct, self.dimension = features.shape

    @cached_property
    def moments(self) -> Moments:
        """Mean and scatter."""
        return Moments.of(self._features, self._weights)

    @cached_property
    def factor(self) -> tuple[Floats, Floats]:
        """The mean (d,) and X (n, d) with X^T X the covariance: cheap for few features."""
        x = whole(self._features)
        counts = np.ones(len(x)) if self._weights is None else self._weights.astype(np.float64)
        mean = counts @ x / self.n
        return mean, (x - mean) * np.sqrt(counts / (self.n - 1))[:, None]


def frechet_distance_of_features(a: Features, b: Features) -> float:
    """The distance of features (n, d) and (m, d). Raises ValueError below 2 of each."""
    return sample_distance(Sample(a), Sample(b))


def sample_distance(a: Sample, b: Sample) -> float:
    """The distance of two samples; in low-rank form if there are few features.

    With covariances X^T X and Y^T Y, tr (A B)^(1/2) is the sum of singular values of X Y^T: exact,
    and n x m instead of d x d.
    """
    n, m, d = a.distinct, b.distinct, a.dimension
    if max(n, m) > d or 2 * n * m > d * d:  # singular values cost more than eigenvalues
        return frechet_distance(a.moments, b.moments)
    (mean_a, x), (mean_b, y) = a.factor, b.factor
    roots = float(torch.linalg.svdvals(torch.from_numpy(x @ y.T)).sum())
    gap = np.sum((mean_a - mean_b) ** 2)
    return max(0.0, float(gap + np.sum(x**2) + np.sum(y**2) - 2 * roots))


def frechet_distance(a: Moments, b: Moments) -> float:
    """|mean_a - mean_b|^2 + tr(A + B - 2 (A B)^(1/2)), by one symmetric eigenproblem.

    With A = L L^T, tr (A B)^(1/2) is the sum of roots of the eigenvalues of L^T B L, which is
    symmetric: several times as fast as a matrix square root or the eigenvalues of A B, and never
    complex.
    """
    root = _root(a.scatter)
    cross = torch.linalg.eigvalsh(torch.from_numpy(_congruent(b.scatter, root)))
    roots = float(cross.clip(min=0).sqrt().sum()) / math.sqrt((a.n - 1) * (b.n - 1))
    traces = [float(np.trace(of.scatter)) / (of.n - 1) for of in (a, b)]
    gap = float(np.sum((a.mean - b.mean) ** 2))
    return max(0.0, gap + sum(traces) - 2 * roots)


def _root(scatter: Floats) -> Floats:
    """Lower triangular L with L L^T = `scatter` (d, d), which may be singular."""
    root, failed = torch.linalg.cholesky_ex(torch.from_numpy(scatter))
    if failed:
        values, vectors = torch.linalg.eigh(torch.from_numpy(scatter))
        root = torch.linalg.qr((vectors * values.clip(min=0).sqrt()).T).R.T
    result: Floats = root.numpy()
    return result


def _congruent(scatter: Floats, root: Floats) -> Floats:
    """The lower half of root^T `scatter` root, all (d, d), for a lower triangular root.

    Column by column, without the zeros and what is above: a third of the work of both products.
    """
    result = np.empty_like(scatter)
    product = np.empty((len(root), _COLUMNS))
    for start in range(0, len(root), _COLUMNS):
        columns = slice(start, start + _COLUMNS)
        part = product[:, : root[0, columns].size]
        np.matmul(scatter[:, start:], root[start:, columns], out=part)
        for first in range(start, len(root), _COLUMNS):
            rows = slice(first, first + _COLUMNS)
            np.matmul(root[first:, rows].T, part[first:], out=result[rows, columns])
    return result
