"""Linear probes: what can be read from features by a weighted sum."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from roentgen.metrics.estimates import Floats


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A weighted sum of standardised features and a constant."""

    mean: Floats  # d
    scale: Floats  # d
    weights: Floats  # d
    constant: float

    def __call__(self, features: NDArray[Any]) -> Floats:
        """(N,) of (N, d): a number, or of a logistic probe the log odds."""
        result: Floats = ((features - self.mean) / self.scale) @ self.weights + self.constant
        return result


def fit_ridge(features: NDArray[Any], values: Floats, strength: float) -> Probe:
    """Least mean squared error / 2 + strength / 2 * |weights|^2, features standardised."""
    mean, scale, x = _standardised(features)
    constant = float(values.mean())
    n, d = x.shape
    normal = x.T @ x / n + strength * np.eye(d)
    weights = np.linalg.solve(normal, x.T @ (values - constant) / n)
    return Probe(mean=mean, scale=scale, weights=weights, constant=constant)


def fit_logistic(features: NDArray[Any], positive: NDArray[np.bool_], strength: float) -> Probe:
    """Least mean log loss + strength / 2 * |weights|^2, features standardised.

    Both kinds must be there.
    """
    mean, scale, x = _standardised(features)
    y = positive.astype(np.float64)

    def loss(parameters: Floats) -> tuple[float, Floats]:
        weights, constant = parameters[:-1], parameters[-1]
        odds = x @ weights + constant
        value = np.mean(np.logaddexp(0, odds) - y * odds) + strength / 2 * weights @ weights
        error = (expit(odds) - y) / len(y)
        return float(value), np.append(x.T @ error + strength * weights, error.sum())

    share = y.mean()
    start = np.append(np.zeros(x.shape[1]), np.log(share / (1 - share)))
    options = {"maxiter": 2000, "gtol": 1e-7, "ftol": 1e-14}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options=options)
    return Probe(mean=mean, scale=scale, weights=found.x[:-1], constant=float(found.x[-1]))


def _standardised(features: NDArray[Any]) -> tuple[Floats, Floats, Floats]:
    """Mean and deviation (1 where a feature is constant), and the features by them."""
    x = features.astype(np.float64)
    mean, scale = x.mean(axis=0), x.std(axis=0)
    scale[scale < 1e-12 * np.abs(x).max(initial=1.0)] = 1.0
    return mean, scale, (x - mean) / scale
