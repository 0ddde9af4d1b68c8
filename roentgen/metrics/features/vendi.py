"""Vendi score: the effective number of different images in a set (Friedman and Dieng 2023)."""

import numpy as np
from numpy.typing import NDArray

from roentgen.errors import InputError
from roentgen.metrics.estimates import Floats
from roentgen.metrics.features.feature_set import Features, SelectedRows, blocks, whole


def vendi_jackknife(features: Features, group: NDArray[np.integer]) -> tuple[float, Floats]:
    """The score, and (G,) the score without each of the groups (n,) if there are several.

    Exp of the entropy of the eigenvalues of K / n, with K the cosine similarities of (n, d): from 1
    (all equal) to n (all orthogonal). Raises InputError without features, or if one is zero or not
    finite. The eigenvalues are those of the smaller of the n x n and the d x d form; the latter is
    summed block by block: memory does not grow with n.
    """
    n, d = features.shape
    if n == 0:
        raise InputError("the Vendi score needs features")
    groups = np.unique(group) if len(np.unique(group)) > 1 else np.array([], dtype=np.int64)
    if n <= d:
        x = _unit(whole(features))
        similar = x @ x.T
        others = [group != k for k in groups]
        without = [_score(similar[np.ix_(of, of)], int(of.sum())) for of in others]
        return _score(similar, n), np.array(without)
    total = _sum(features)
    without = []
    for k in groups:
        rows = np.flatnonzero(group == k)
        without.append(_score(total - _sum(SelectedRows(features, rows)), n - len(rows)))
    return _score(total, n), np.array(without)


def _sum(features: Features) -> Floats:
    """N times the d x d form."""
    total = np.zeros((features.shape[1],) * 2)
    for _, x in blocks(features):
        unit = _unit(x)
        total += unit.T @ unit
    return total


def _unit(x: Floats) -> Floats:
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    if (lengths == 0).any():
        raise InputError("the Vendi score needs features, none of them zero")
    return np.asarray(x / lengths)


def _score(similar: Floats, n: int) -> float:
    values = np.linalg.eigvalsh(similar / n)
    values = values[values > 0]
    return float(np.clip(np.exp(-np.sum(values * np.log(values))), 1, n))
