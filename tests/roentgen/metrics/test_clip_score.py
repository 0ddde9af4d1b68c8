import numpy as np
import pytest
import torch
from torchmetrics.functional.retrieval import retrieval_hit_rate

from roentgen.metrics.classification.finding_scores import resamples
from roentgen.metrics.clip_score import clip_scores, distinct, recalls, shuffled


def unit(x: np.ndarray) -> np.ndarray:
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True))


def test_score_floor_and_gain_of_known_angles() -> None:
    # Ten prompts at right angles; each image is its prompt turned by 60 degrees into a direction
    # of its own: cosine 0.5 with the own prompt and 0 with others.
    kinds = np.arange(200) % 10
    texts = np.eye(210)[kinds]
    images = 0.5 * texts + np.sqrt(0.75) * np.eye(210)[10 + np.arange(200)]
    prompts = [str(k) for k in kinds]
    patients = [str(i) for i in range(200)]
    weights = resamples(patients, 50, seed=0)
    found = clip_scores(images, texts, prompts, patients, weights, name="set", seed=0)
    assert found["score"].value == pytest.approx(0.5)
    assert found["floor"].value == pytest.approx(0)
    assert found["gain"].low == pytest.approx(0.5)
    wrong = shuffled(prompts, 0, "set")
    assert all(prompts[i] != prompts[j] for i, j in enumerate(wrong))
    same = clip_scores(images, texts, ["a"] * 200, patients, weights, name="set", seed=0)
    assert same["gain"].note == "not measured: all prompts are the same"


def test_prompts_of_other_images_gain_nothing() -> None:
    draws = np.random.default_rng(0)
    texts = unit(draws.standard_normal((1000, 20)))
    images = unit(draws.standard_normal((1000, 20)))
    prompts = [str(i) for i in range(1000)]
    weights = resamples(prompts, 200, seed=0)
    gain = clip_scores(images, texts, prompts, prompts, weights, name="set", seed=0)["gain"]
    assert gain.low is not None
    assert gain.high is not None
    assert gain.low < 0 < gain.high


def test_recall_agrees_with_torchmetrics() -> None:
    draws = np.random.default_rng(2)
    texts = unit(draws.standard_normal((60, 8)))
    images = unit(texts + 0.5 * draws.standard_normal((60, 8)))
    found = recalls(images, texts)
    cosines = torch.from_numpy(images @ texts.T)
    for k in (1, 5, 10):
        hits = [
            float(retrieval_hit_rate(row, torch.arange(60) == own, top_k=k))
            for own, row in enumerate(cosines)
        ]
        assert found[f"recall@{k}"].value == pytest.approx(np.mean(hits))
        assert 0 < np.mean(hits) < 1


def test_recall_by_chance_and_of_perfect_images() -> None:
    draws = np.random.default_rng(1)
    texts = unit(draws.standard_normal((400, 30)))
    assert {e.value for e in recalls(texts, texts).values()} == {1.0}
    blind = recalls(unit(draws.standard_normal((400, 30))), texts)
    for k in (1, 5, 10):
        low, high = blind[f"recall@{k}"].low, blind[f"recall@{k}"].high
        assert low is not None
        assert high is not None
        assert low <= k / 400 <= high
    # Two prompts that mean the same: the own one is not told from the other.
    twins = np.repeat(np.eye(20), 2, axis=0)
    found = recalls(twins, twins)
    assert found["recall@1"].value == 0
    assert found["recall@5"].value == 1


def test_a_pool_holds_each_wording_once() -> None:
    prompts = ["a", "b", "a", "c", "b"]
    rows = distinct(prompts, 0, "set")
    assert sorted(prompts[k] for k in rows) == ["a", "b", "c"]
