"""The Vendi score: how many different images a set is worth (Friedman and Dieng 2023)."""

import numpy as np
from numpy.typing import NDArray


def vendi_score(features: NDArray[np.floating]) -> float:
    """Exp of the entropy of the eigenvalues of K / n, with K the cosine similarities of (n, d).

    Between 1, all alike, and n, all at right angles. The eigenvalues are those of the smaller of
    the n x n and the d x d form. Raises ValueError without features or where one is zero.
    """
    x = features.astype(np.float64)
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    if len(x) == 0 or (lengths == 0).any():
        raise ValueError("the Vendi score needs features, none of them zero")
    x /= lengths
    n, d = x.shape
    gram = x.T @ x if d < n else x @ x.T
    values = np.linalg.eigvalsh(gram / n)
    values = values[values > 0]
    return float(np.exp(-np.sum(values * np.log(values))))
