import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from roentgen.vision.linear_probe import fit_logistic, fit_ridge


def drawn(n: int = 300, d: int = 20) -> tuple[np.ndarray, np.ndarray]:
    draws = np.random.default_rng(0)
    x = draws.standard_normal((n, d)) * draws.uniform(0.1, 10, d) + draws.uniform(-5, 5, d)
    return x, x @ draws.standard_normal(d) / 10 + draws.standard_normal(n)


def test_the_logistic_probe_agrees_with_scikit_learn() -> None:
    x, y = drawn()
    positive = y > 1
    for strength in (0.01, 1.0):
        z = StandardScaler().fit_transform(x)
        theirs = LogisticRegression(C=1 / (strength * len(x)), tol=1e-10, max_iter=10_000)
        theirs.fit(z, positive)
        ours = fit_logistic(x, positive, strength)
        np.testing.assert_allclose(ours(x), theirs.decision_function(z), atol=1e-4)


def test_the_ridge_probe_agrees_with_scikit_learn() -> None:
    x, y = drawn()
    z = StandardScaler().fit_transform(x)
    theirs = Ridge(alpha=0.1 * len(x)).fit(z, y)
    np.testing.assert_allclose(fit_ridge(x, y, 0.1)(x), theirs.predict(z), atol=1e-8)


def test_what_is_linear_is_read_exactly_and_a_constant_feature_does_no_harm() -> None:
    x, _ = drawn()
    x[:, 3] = 7.0
    values = 3 * x[:, 0] - x[:, 5] + 2
    assert np.abs(fit_ridge(x, values, 1e-9)(x) - values).max() < 1e-5
    positive = values > np.median(values)
    odds = fit_logistic(x, positive, 1e-4)(x)
    assert np.isfinite(odds).all()
    assert ((odds > 0) == positive).mean() > 0.99


def test_more_features_than_items() -> None:
    x, y = drawn(n=30, d=100)
    assert np.corrcoef(fit_ridge(x, y, 1.0)(x), y)[0, 1] > 0.9
    odds = fit_logistic(x, y > 0, 0.01)(x)
    assert ((odds > 0) == (y > 0)).all()
